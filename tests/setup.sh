#!/usr/bin/env bash
# Fetches what the tests and the demo need into .cache/, which git ignores. Runs again at no cost.
#
#   tests/setup.sh            all of it
#   tests/setup.sh langflow   the LangFlow starter projects alone
#   tests/setup.sh dual       what runs dual flows: LangGraph, Playwright, Chromium
#   tests/setup.sh bench-compiler   what `make bench-compiler` needs: the starter projects, Jinja2 and black
#   tests/setup.sh clients    what `make test-clients` needs: gix and JGit
#
# git, ssh-keygen, Python and its packages are required: without one of them this fails. The LangFlow
# starter projects, what runs dual flows, isomorphic-git, JGit, and the web server that stands for an upstream forge may be
# missing. When one cannot be fetched, that is said and marked by a file `<name>.unavailable`; the tests
# that use it then say loudly what they did not run on.
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

# What runs a dual flow from end to end: LangGraph, Playwright, and Debian's Chromium.
dual() {
  local venv="$cache/dual" wanted=tests/requirements-dual.txt
  rm -f "$cache/dual.unavailable"
  if ! from_debian chromium chromium; then
    missing dual "there is no Chromium"
    return 0
  fi
  cmp -s "$wanted" "$venv/.requirements" && return 0
  say "making a Python environment for dual flows with $(grep -cv '^#' "$wanted") pinned packages"
  rm -rf "$venv"
  python3 -m venv "$venv"
  if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"; then
    cp "$wanted" "$venv/.requirements"
  else
    rm -rf "$venv"
    missing dual "the packages of $wanted could not be installed"
  fi
}

# The pipeline that the compiler is measured beside.
bench_compiler() {
  local venv="$cache/bench-compiler" wanted=benches/compiler/peer/requirements.txt
  cmp -s "$wanted" "$venv/.requirements" && return 0
  say "making a Python environment with Jinja2 and black"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted"
  cp "$wanted" "$venv/.requirements"
}

# Says that a peer is missing and marks it, so that its tests know.
missing() {
  say "$1 COULD NOT BE FETCHED, so its tests DO NOT RUN: $2"
  touch "$cache/$1.unavailable"
}

# A program from the distribution, when this may install it.
from_debian() {
  command -v "$1" >/dev/null && return 0
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $2"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null
}

# isomorphic-git, as its lock file pins it.
isomorphic() {
  local from=tests/clients/isomorphic out="$cache/isomorphic-git"
  cmp -s "$from/package-lock.json" "$out/package-lock.json" && return 0
  rm -rf "$out" "$out.unavailable"
  if ! from_debian node nodejs || ! from_debian npm npm; then
    missing isomorphic-git "there is no Node.js"
    return 0
  fi
  say "fetching isomorphic-git"
  rm -rf "$out.part"
  mkdir "$out.part"
  cp "$from"/package*.json "$out.part"
  if (cd "$out.part" && npm ci --silent --no-audit --no-fund --ignore-scripts); then
    mv "$out.part" "$out"
  else
    missing isomorphic-git "npm failed"
  fi
}

# JGit and what it rests on, unpacked from the distribution's packages, and our program for it.
jgit() {
  local out="$cache/jgit" work
  rm -f "$out.unavailable"
  if [ ! -d "$out/usr" ]; then
    if ! from_debian javac default-jdk-headless; then
      missing jgit "there is no Java compiler"
      return 0
    fi
    say "fetching JGit"
    work=$(mktemp -d)
    if ! (cd "$work" && apt-get download -qq libjgit-java libslf4j-java libjavaewah-java libjsch-java); then
      missing jgit "the packages of Debian are needed (apt-get update?)"
      rm -rf "$work"
      return 0
    fi
    for package in "$work"/*.deb; do dpkg -x "$package" "$work/out"; done
    rm -rf "$out"
    mv "$work/out" "$out"
    rm -rf "$work"
  fi
  javac -d "$out/classes" -cp "$out/usr/share/java/org.eclipse.jgit.jar" tests/clients/jgit/Client.java
}

# A program around the crate gix: 267 crates, some minutes the first time.
gix() {
  "${CARGO:-cargo}" build --locked --manifest-path tests/clients/gix/Cargo.toml --target-dir "$cache/gix"
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
need ssh-keygen "install openssh-client; git verify-commit runs it"
need python3 "version 3.10 or later, with pip and venv"
case "${1:-all}" in
  langflow) langflow ;;
  dual) dual ;;
  bench-compiler)
    langflow
    bench_compiler
    ;;
  clients)
    jgit
    gix
    ;;
  *)
    langflow
    python_peers
    dual
    isomorphic
    upstream
    ;;
esac
