"""pygit2: libgit2 from Python."""

import pygit2

from common import run, token


def callbacks():
    return pygit2.RemoteCallbacks(credentials=pygit2.UserPass("x", token()))


class Pygit2:
    def clone(self, url, path, depth=0):
        return pygit2.clone_repository(url, path, depth=depth, callbacks=callbacks())

    def fetch(self, path, depth=0):
        origin = pygit2.Repository(path).remotes["origin"]
        refspecs = [*origin.fetch_refspecs, "+refs/tags/*:refs/tags/*"]
        origin.fetch(refspecs, callbacks=callbacks(), depth=depth)

    def shallow(self, url, path, depth):
        self.clone(url, path, int(depth))

    def deepen(self, path, depth):
        self.fetch(path, int(depth))

    def tag(self, url, path, name):
        self.clone(url, path).checkout(f"refs/tags/{name}")

    def ls(self, url):
        repository = pygit2.init_repository(".", bare=True)
        remote = repository.remotes.create_anonymous(url)
        for head in remote.list_heads(callbacks=callbacks()):
            if head.name.startswith("refs/heads/"):
                print(head.oid, head.name)


run(Pygit2())
