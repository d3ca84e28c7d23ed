"""Writes what is generated from the model: the CRD and its copies, the document's reference, the failure reasons.

``--check`` writes nothing, and fails when a file is not what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from project_migration.model.crd import render
from tools import failure_reasons
from tools.spec_reference import reference

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[Path, str]:
    crd = render()
    return {
        ROOT / "crds/projectmigrations.migration.mlops.dev.yaml": crd,
        ROOT / "helm/project-migration-operator/files/projectmigrations.migration.mlops.dev.yaml": crd,
        ROOT / "manifests/base/projectmigrations.migration.mlops.dev.yaml": crd,
        ROOT / "docs/spec.md": reference(),
        ROOT / "docs/failure-reasons.md": failure_reasons.page(),
    }


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if check:
            print(f"{name} is not what the model says: run `make generate`", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path])
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
