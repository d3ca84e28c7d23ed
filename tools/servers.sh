#!/bin/sh
# Makes .venv-servers, with the servers that tests and benchmarks run.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! [ -x .venv-servers/bin/pip ]; then
    "$python" -c 'import ensurepip' 2>/dev/null || sh tools/packages.sh python3-venv
    rm -rf .venv-servers
    "$python" -m venv .venv-servers
fi
.venv-servers/bin/pip install --quiet --disable-pip-version-check --requirement tools/servers.txt
