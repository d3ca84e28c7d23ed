from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from project_migration.backends.local.places import Place, default_state_dir, home, mount_points, place_of
from project_migration.engine.names import Key

MOUNTS = """\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 25 8:2 / /srv rw,relatime shared:2 - xfs /dev/sdb rw
31 25 8:2 /team\\040a /data rw,relatime shared:2 - xfs /dev/sdb rw
32 25 8:3 / /srv/inner rw,relatime - ext4 /dev/sdc rw
33 32 8:4 / /srv/inner rw,relatime - ext4 /dev/sdd rw
"""


def at(path: str) -> str:
    return str(place_of(Path(path), mount_points(MOUNTS)))


def test_a_bind_mount_and_what_it_shows_are_one_place() -> None:
    assert at("/data/x") == at("/srv/team a/x") == "8:2:/team a/x"


def test_the_innermost_and_latest_mount_counts() -> None:
    assert at("/srv/inner/y") == "8:4:/y"
    assert at("/home/z") == "8:1:/home/z"


def test_a_place_is_the_same_before_and_after_it_is_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c"
    before = place_of(target)
    target.mkdir(parents=True)
    assert place_of(target) == before


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert place_of(tmp_path / "link" / "new") == place_of(tmp_path / "real" / "new")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("/a", "/a", True), ("/a", "/a/b", True), ("/a/b", "/a", True), ("/a", "/ab", False), ("/a/b", "/a/c", False)],
)
def test_places_overlap_when_one_is_in_the_other(one: str, other: str, expected: bool) -> None:
    assert Place("8:1", Path(one)).overlaps(Place("8:1", Path(other))) is expected
    assert not Place("8:1", Path(one)).overlaps(Place("8:2", Path(other)))


def test_state_lies_where_the_user_keeps_state(monkeypatch: pytest.MonkeyPatch) -> None:
    assert home({"XDG_STATE_HOME": "/x"}) == Path("/x/project-migration")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert home({}) == Path("/var/lib/project-migration")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/ana")
    assert home({}) == Path("/home/ana/.local/state/project-migration")
    assert default_state_dir(Key("ml", "vision"), Path("/x")) == Path("/x/ml-vision")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_real_bind_mount_is_seen_through(tmp_path: Path) -> None:
    for name in ("real", "shown"):
        (tmp_path / name).mkdir()
    script = (
        'set -e; mount --bind real shown; exec "$0" -c \''
        "from pathlib import Path; from project_migration.backends.local.places import place_of;"
        'assert place_of(Path("real/x")) == place_of(Path("shown/x")), place_of(Path("shown/x"))\''
    )
    import sys

    argv = ["unshare", "--mount", "sh", "-c", script, sys.executable]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert done.returncode == 0, done.stderr
