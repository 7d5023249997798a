"""GitPython: Git, driven from Python."""

import git

from common import run


class GitPython:
    def clone(self, url, path, **options):
        return git.Repo.clone_from(url, path, **options)

    def fetch(self, path, **options):
        git.Repo(path).remotes.origin.fetch(tags=True, **options)

    def shallow(self, url, path, depth):
        self.clone(url, path, depth=int(depth))

    def deepen(self, path, depth):
        self.fetch(path, depth=int(depth))

    def tag(self, url, path, name):
        self.clone(url, path).git.checkout(name)

    def ls(self, url):
        print(git.cmd.Git().ls_remote("--heads", url).replace("\t", " "))


run(GitPython())
