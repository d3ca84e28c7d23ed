"""``make bench``: every figure, each against its named peer in the same run. ``BENCH="operator"`` for one of them."""

from __future__ import annotations

import subprocess
import sys

ALL = {
    "copy_tree": "files, against rsync -a and chown -R",
    "mlflow_api": "a tracking server to another one by their interfaces, against mlflow-export-import",
    "mlflow_database": "an MLflow database and its files, against a plain copy of both; memory with 10 million metrics",
    "cdsw": "an archive of a CDSW into a workspace, against tar, cp, chown and psql; and the memory it takes",
    "postgres": "a PostgreSQL database, against pg_dump | psql and pg_dump -Fd -j2 | pg_restore -j2",
    "operator": "the operator on a real node: how soon it acts, and what it needs",
}


def main() -> int:
    wanted = sys.argv[1:] or list(ALL)
    unknown = [name for name in wanted if name not in ALL]
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there is {', '.join(ALL)}", file=sys.stderr)
        return 2
    for name in wanted:
        print(f"\n== {name}: {ALL[name]}", flush=True)
        code = subprocess.run((sys.executable, "-m", f"benchmarks.{name}"), check=False).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
