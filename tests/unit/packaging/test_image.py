import re

import yaml

from project_migration import __version__
from tests.unit.packaging.files import CHART, MANIFESTS, ROOT, documents, values

DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_image_runs_as_a_user_that_the_kubelet_can_see_is_not_root():
    user, _, group = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1].partition(":")
    assert user.isdecimal()
    assert int(user) > 0
    assert int(group) > 0
    assert DOCKERFILE.rindex("USER ") > DOCKERFILE.rindex("FROM ")


def test_the_base_can_be_chosen_and_every_stage_uses_it():
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE}", "${BASE}"]
    assert "ARG BASE=" in DOCKERFILE.split("FROM")[0]


def test_only_what_the_package_is_made_of_reaches_the_build():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE))
    wanted = {name.rstrip("*") for names in copied for name in names.split()}
    assert wanted == {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_images_are_named_without_a_registry():
    """Whoever installs knows his own; a host name in a default is a pull from a stranger."""
    named = [values()["image"]["repository"]]
    named += re.findall(r"^ARG BASE=(\S+)", DOCKERFILE, re.MULTILINE)
    for file, _ in documents(MANIFESTS):
        named += re.findall(r"\bimage: \"?([^\s\"]+)", (ROOT / file).read_text())
        named += re.findall(r"\bnewName: (\S+)", (ROOT / file).read_text())
    assert len(named) > 3
    assert [name for name in named if "/" in name] == []


def test_chart_manifests_and_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    overlay = yaml.safe_load((MANIFESTS / "overlays/namespaced/kustomization.yaml").read_text())
    assert overlay["images"][0]["newTag"] == __version__
    operator = (MANIFESTS / "base/operator.yaml").read_text()
    assert set(re.findall(r"project-migration-operator:([\w.]+)", operator)) == {__version__}
