#!/bin/sh
# Installs Debian packages unless they are there: as root, or through sudo where that needs no password.
# Exit code 1, and a sentence that says what a person has to do, where neither is possible.
set -eu
missing=""
for package in "$@"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif sudo --non-interactive true 2>/dev/null; then
    as_root="sudo"
else
    echo "install: this needs the package(s)$missing; ask an administrator: apt-get install$missing" >&2
    exit 1
fi
echo "install: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq >/dev/null
# shellcheck disable=SC2086  # a list of packages
$as_root apt-get install -qq --yes --no-install-recommends $missing >/dev/null
