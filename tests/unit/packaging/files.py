"""What is packaged, as data. Helm is not needed: what its templates render is the cluster tests' affair."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/project-migration-operator"
MANIFESTS = ROOT / "manifests"
BASE = MANIFESTS / "base"

Json = dict[str, Any]


def documents(folder: Path) -> Iterator[tuple[Path, Json]]:
    for file in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            yield file.relative_to(ROOT), document


def objects(kind: str) -> list[Json]:
    """Of the plain manifests, without overlays."""
    return [document for _, document in documents(BASE) if document["kind"] == kind]


def operator() -> Json:
    [deployment] = objects("Deployment")
    return deployment["spec"]["template"]["spec"]


def values() -> Json:
    return yaml.safe_load((CHART / "values.yaml").read_text())


def template(name: str) -> str:
    return (CHART / "templates" / name).read_text()


def chart_rules(name: str) -> list[Json]:
    """The rules that one template holds, those it includes among them."""
    body = re.search(rf'define "{re.escape(name)}" -}}}}\n(.*?){{{{- end -}}}}', template("_rules.tpl"), re.DOTALL)[1]
    included = re.findall(r'{{ include "([\w.]+)" \. }}\n', body)
    own = yaml.safe_load(re.sub(r"{{.*?}}\n", "", body)) or []
    return own + [rule for other in included for rule in chart_rules(other)]
