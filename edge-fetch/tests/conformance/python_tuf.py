"""python-tuf's client behind the same command line, to compare with. Errors end with the names of their
classes."""

import argparse
import pathlib
import sys
import urllib.parse

from tuf.ngclient import Updater


def main():
    options = argparse.ArgumentParser()
    for name in ("metadata-dir", "metadata-url", "target-name", "target-base-url", "target-dir"):
        options.add_argument(f"--{name}")
    options.add_argument("step")
    options.add_argument("root", nargs="?")
    options = options.parse_args()
    folder = pathlib.Path(options.metadata_dir)
    if options.step == "init":
        (folder / "root.json").write_bytes(pathlib.Path(options.root).read_bytes())
        return
    updater = Updater(
        str(folder), options.metadata_url, options.target_dir, options.target_base_url,
        bootstrap=None,
    )
    updater.refresh()
    if options.step == "refresh":
        return
    info = updater.get_targetinfo(options.target_name)
    if info is None:
        raise LookupError("no such target")
    file = pathlib.Path(options.target_dir) / urllib.parse.quote(options.target_name, "")
    if updater.find_cached_target(info, str(file)) is None:
        updater.download_target(info, str(file))


try:
    main()
except Exception as error:  # whatever it is, the command line says 1
    names = []
    while error is not None:
        names.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    print(" <- ".join(names), file=sys.stderr)
    sys.exit(1)
