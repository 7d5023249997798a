"""Which files to lint and which smoke tests to run after a push.

    python3 .github/changed.py BEFORE AFTER OUT

BEFORE and AFTER are the commits of the push. Writes two lists to the directory OUT, `lint` and
`smoke`: paths that end in a NUL byte, for `xargs -0`. A flow is tested when one of its files, as
`manifest.json` lists them, changed. All of it is listed when BEFORE is unknown (a new branch, a
manual run, a history that was replaced) or when a file that no flow owns but every flow rests on
changed.
"""

import json
import pathlib
import re
import subprocess
import sys

COMMIT = re.compile(r"[0-9a-f]{40}")
# Planted with the tenant, and used by every flow.
SHARED = re.compile(
    r"\.github/.*|(app|app/(flows|runners|colophon_rt))/__init__\.py", re.DOTALL
)
# Source of components, as it came: not ours to lint.
FOREIGN = "app/components/"


def git(*args):
    done = subprocess.run(["git", *args], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def changed_between(before, after):
    """Paths that differ, or None when that cannot be told."""
    if not (COMMIT.fullmatch(before) and COMMIT.fullmatch(after)):
        return None
    if git("merge-base", "--is-ancestor", before, after) is None:
        return None
    names = git("diff", "--name-only", "--no-renames", "-z", before, after)
    if names is None:
        return None
    return {
        name.decode("utf-8", "surrogateescape") for name in names.split(b"\0") if name
    }


def select(manifest, changed):
    """The files to lint and the tests to run, sorted."""
    flows = manifest["flows"]
    every = {path for flow in flows.values() for path in flow["files"]}
    if changed is None or any(SHARED.fullmatch(path) for path in changed):
        changed = every
    lint = {
        path
        for path in changed
        if path.endswith(".py") and not path.startswith(FOREIGN)
    }
    touched = [
        name for name, flow in flows.items() if not changed.isdisjoint(flow["files"])
    ]
    smoke = {f"tests/smoke/test_{name}.py" for name in touched} & every
    return sorted(lint), sorted(smoke)


def write(path, names):
    there = [name for name in names if pathlib.Path(name).is_file()]
    path.write_bytes(
        b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in there)
    )
    return len(there)


def main(before, after, out):
    manifest = json.loads(pathlib.Path("manifest.json").read_text(encoding="utf-8"))
    lint, smoke = select(manifest, changed_between(before, after))
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    linted, tested = write(out / "lint", lint), write(out / "smoke", smoke)
    print(f"{linted} files to lint, {tested} smoke tests")


if __name__ == "__main__":
    main(*sys.argv[1:])
