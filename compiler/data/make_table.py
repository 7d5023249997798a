"""Makes lfx-components.txt: which component sources are known, and from which release of lfx.

    python3 -m pip download --no-deps lfx==1.13.0
    python3 compiler/data/make_table.py lfx-1.13.0-*.whl > compiler/data/lfx-components.txt

Takes any number of lfx wheels; a source that several releases share is listed under the newest.
The sources come from `lfx/_assets/component_index.json`. Only their SHA-256 is kept: a hash is a
fact about a source, not a copy of it.

A component that runs code, or starts a program, that it is given as data is marked `runs-code`: to
know its source says nothing of what it will run. These are all components with a field of type `code`
beside their own `code`, and those in INTERPRETERS. For a new release, look for `exec(`, `eval(`,
`PythonREPL`, `allow_dangerous_code` and `subprocess` in its sources and extend the list.
"""

import hashlib
import json
import sys
import zipfile

INDEX = "lfx/_assets/component_index.json"

INTERPRETERS = {
    "CSVAgent": "runs Python that a model writes, with allow_dangerous_code",
    "MCPTools": "starts the command that the server's configuration names",
    "PythonREPLComponent": "runs the Python of its field python_code",
    "PythonREPLTool": "runs Python that a model writes",
    "Smart Transform": "evaluates a lambda that a model writes",
}


def components(wheel):
    """Yields (sha256, release, class) for every component of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        index = json.loads(archive.read(INDEX))
    for _category, members in index["entries"]:
        for name, component in members.items():
            code = component["template"].get("code", {}).get("value")
            if code:
                entry = name + ("  runs-code" if runs_code(name, component["template"]) else "")
                yield hashlib.sha256(code.encode()).hexdigest(), index["version"], entry


def runs_code(name, template):
    """Whether a component runs what it is given."""
    fields = ((key, field) for key, field in template.items() if isinstance(field, dict))
    given = any(key != "code" and field.get("type") == "code" for key, field in fields)
    return given or name in INTERPRETERS


def main(wheels):
    """Prints the table."""
    if not wheels:
        sys.exit(__doc__)
    table = {}
    for wheel in sorted(wheels):
        for sha256, release, name in components(wheel):
            known = table.get(sha256)
            if known is None or number(known[0]) < number(release):
                table[sha256] = (release, name)
    for sha256, (release, name) in sorted(table.items()):
        print(sha256, release, name, sep="  ")


def number(release):
    """The parts of a release as numbers."""
    return [int(part) for part in release.split(".")]


if __name__ == "__main__":
    main(sys.argv[1:])
