#!/bin/sh
# Makes .venv with the project and its tools in it, on a machine that may have bare Python only.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "install: Python 3.11 or newer is needed; set PYTHON to one" >&2; exit 1; }
if ! [ -x .venv/bin/pip ]; then
    # Debian's Python comes without venv's other half until python3-venv is installed
    "$python" -c 'import ensurepip' 2>/dev/null || sh tools/packages.sh python3-venv
    rm -rf .venv
    "$python" -m venv .venv
fi
.venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
