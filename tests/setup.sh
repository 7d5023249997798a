#!/usr/bin/env bash
# Fetches what the tests and the demo need into .cache/, which git ignores. Runs again at no cost.
#
#   tests/setup.sh            all of it
#   tests/setup.sh langflow   the LangFlow starter projects alone
#
# git, Python and python-tuf are required: without one of them this fails. Only the LangFlow starter
# projects, and the web server that stands for an upstream forge, may be missing. When they cannot be
# fetched, that is said and marked by a file `langflow-<version>.unavailable` or
# `upstream.unavailable`; the tests that use them then say loudly what they did not run on.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=.cache
mkdir -p "$cache"

say() { printf 'setup: %s\n' "$*" >&2; }

need() {
  command -v "$1" >/dev/null || { say "$1 is needed: $2"; exit 1; }
}

# The starter projects of a pinned LangFlow release, from its wheel.
langflow() {
  local version=1.13.0 out="$cache/langflow-1.13.0" work
  [ -d "$out" ] && return 0
  rm -f "$out.unavailable"
  say "fetching the starter projects of langflow-base $version"
  work=$(mktemp -d)
  if ! python3 -m pip download --quiet --no-deps --dest "$work" "langflow-base==$version"; then
    say "langflow-base $version could not be fetched: flows of our own are used instead"
    touch "$out.unavailable"
    rm -rf "$work"
    return 0
  fi
  python3 - "$work" "$out" <<'PY'
import pathlib, sys, zipfile
work, out = map(pathlib.Path, sys.argv[1:])
part = out.with_suffix(".part")
part.mkdir(exist_ok=True)
for wheel in work.glob("langflow_base-*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "/starter_projects/" in name and name.endswith(".json"):
                (part / pathlib.PurePosixPath(name).name).write_bytes(archive.read(name))
part.rename(out)
print(f"setup: {len(list(out.glob('*.json')))} flows in {out}", file=sys.stderr)
PY
  rm -rf "$work"
}

# A Python environment with the peers that tests talk to, at pinned versions.
python_peers() {
  local venv="$cache/venv" stamp="$cache/venv/.requirements"
  cmp -s tests/requirements.txt "$stamp" && return 0
  say "making a Python environment with $(grep -cv '^#' tests/requirements.txt) pinned packages"
  rm -rf "$venv"
  python3 -m venv "$venv"
  if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt; then
    say "the packages of tests/requirements.txt could not be installed; the tests need them"
    exit 1
  fi
  cp tests/requirements.txt "$stamp"
}

# nginx and fcgiwrap, which serve `git http-backend` as the upstream of mirrors.
upstream() {
  local marker="$cache/upstream.unavailable"
  rm -f "$marker"
  have_upstream && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing nginx and fcgiwrap"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -qq -y --no-install-recommends nginx-light fcgiwrap; } >/dev/null 2>&1 || true
  fi
  have_upstream && return 0
  say "nginx or fcgiwrap is missing and could not be installed: mirrors are not tested against a server"
  touch "$marker"
}

have_upstream() {
  PATH="$PATH:/usr/sbin" command -v nginx >/dev/null && PATH="$PATH:/usr/sbin" command -v fcgiwrap >/dev/null
}

need git "install it from your distribution"
need python3 "version 3.10 or later, with pip and venv"
langflow
if [ "${1:-all}" != langflow ]; then
  python_peers
  upstream
fi
