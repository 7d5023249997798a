"""dulwich: Git in Python. COLOPHON_PROTOCOL says which version of the protocol it speaks."""

import io
import os

from dulwich import porcelain
from dulwich.client import get_transport_and_path

from common import run, token

PROTOCOL = int(os.environ.get("COLOPHON_PROTOCOL", "2"))


def credentials():
    return {"username": "x", "password": token()}


class Dulwich:
    def clone(self, url, path, depth=None):
        quiet = io.BytesIO()
        porcelain.clone(
            url, path, depth=depth, errstream=quiet, protocol_version=PROTOCOL, **credentials()
        ).close()

    def fetch(self, path, depth=None):
        with porcelain.open_repo_closing(path) as repo:
            porcelain.fetch(
                repo, "origin", depth=depth, include_tags=True, quiet=True, **credentials()
            )

    def shallow(self, url, path, depth):
        self.clone(url, path, int(depth))

    def deepen(self, path, depth):
        self.fetch(path, int(depth))

    def tag(self, url, path, name):
        self.clone(url, path)
        porcelain.checkout(path, name)

    def ls(self, url):
        client, remote = get_transport_and_path(url, **credentials())
        refs = client.get_refs(remote.encode()).refs
        for name, oid in refs.items():
            if name.startswith(b"refs/heads/"):
                print(oid.decode(), name.decode())


run(Dulwich())
