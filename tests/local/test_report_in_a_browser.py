"""The report as a browser shows it: nothing wider than the screen, dark where the reader wants that, no errors."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from project_migration.observing.report import render
from project_migration.observing.report.account import account
from project_migration.observing.report.proof import proof
from tests.unit.cli import samples

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")

#: Opens the report in a frame of a phone's or a desktop's width, and writes down what it measures.
MEASURE = """<!doctype html><body style="margin:0">
<iframe src="report.html" style="border:0;width:WIDTHpx;height:9000px"></iframe><pre id="found"></pre><script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const view = page.defaultView, bars = [...page.querySelectorAll("rect.bar")].map(b => b.getBoundingClientRect());
  const cut = [...page.querySelectorAll("td, th, p, h1, h2, h3, dd, dt, li, summary")]
    .filter(e => e.getBoundingClientRect().right > WIDTH + 1).map(e => e.textContent.trim().slice(0, 40));
  document.querySelector("#found").textContent = JSON.stringify({
    scroll: root.scrollWidth, cut, bars: bars.length, visible: bars.every(b => b.width > 0.5 && b.height > 3),
    data: JSON.parse(page.querySelector("script#report").textContent), scripts: page.scripts.length,
    folded: [...page.querySelectorAll("details:not([open])")].map(d => d.querySelector("summary").textContent),
    paper: view.getComputedStyle(page.body).backgroundColor, ink: view.getComputedStyle(page.body).color,
  });
};
</script></body>"""


def measured(page: str, folder: Path, width: int, *, dark: bool = False) -> dict[str, Any]:
    (folder / "report.html").write_text(page)
    (folder / "measure.html").write_text(MEASURE.replace("WIDTH", str(width)))
    argv = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--allow-file-access-from-files",
        "--enable-logging=stderr",
        f"--user-data-dir={folder}/profile",
        "--virtual-time-budget=5000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--dump-dom",
        (folder / "measure.html").as_uri(),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:]
    text = html.unescape(found[1])
    data: dict[str, Any] = json.loads(text)
    return data


def luminance(color: str) -> float:
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", color)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize(
    "sample", [samples.succeeded, samples.looked_at_again, samples.failed, samples.at_work, samples.planned]
)
def test_nothing_is_wider_than_the_screen(sample, width: int, tmp_path: Path) -> None:
    found = measured(render(sample()), tmp_path, width)
    assert (found["scroll"], found["cut"]) == (width, [])
    assert found["bars"] > 0
    assert found["visible"]


def test_a_reader_who_wants_it_dark_gets_it_dark(tmp_path: Path) -> None:
    page = render(samples.succeeded())
    light, dark = measured(page, tmp_path, 1200), measured(page, tmp_path, 1200, dark=True)
    assert luminance(light["paper"]) > 0.8 > 0.3 > luminance(light["ink"])
    assert luminance(dark["paper"]) < 0.1 < 0.7 < luminance(dark["ink"])


def test_a_program_finds_the_whole_report_in_the_page(tmp_path: Path) -> None:
    failed = samples.failed()
    evil = "</script><script>document.title = 'changed'</script><!--"
    page = render(samples.migration(failed.status.model_copy(update={"failure": evil})))
    found = measured(page, tmp_path, 390)
    assert (found["data"]["message"], found["scripts"]) == (evil, 1)
    assert found["data"] == json.loads(proof(account(samples.migration(failed.status))).to_json()) | {"message": evil}


def test_what_is_lost_is_open_and_what_was_asked_for_is_folded(tmp_path: Path) -> None:
    folded = measured(render(samples.failed()), tmp_path, 1200)["folded"]
    assert not [words for words in folded if "could not be moved" in words]
    assert "The document" in folded


def test_a_very_long_name_does_not_break_the_page(tmp_path: Path) -> None:
    long = "x" * 400
    page = render(samples.failed()).replace("weights.bin", long).replace("data-new", long[:200])
    assert measured(page, tmp_path, 390)["scroll"] == 390
