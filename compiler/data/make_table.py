"""Makes lfx-components.txt: which component sources are known, and from which release of lfx.

    python3 -m pip download --no-deps lfx==1.13.0
    python3 compiler/data/make_table.py lfx-1.13.0-*.whl > compiler/data/lfx-components.txt

Takes any number of lfx wheels; a source that several releases share is listed under the newest.
The sources come from `lfx/_assets/component_index.json`. Only their SHA-256 is kept: a hash is a
fact about a source, not a copy of it.
"""

import hashlib
import json
import sys
import zipfile

INDEX = "lfx/_assets/component_index.json"


def components(wheel):
    """Yields (sha256, release, class) for every component of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        index = json.loads(archive.read(INDEX))
    for _category, members in index["entries"]:
        for name, component in members.items():
            code = component["template"].get("code", {}).get("value")
            if code:
                yield hashlib.sha256(code.encode()).hexdigest(), index["version"], name


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
