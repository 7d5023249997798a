"""The commands that every client here takes; see README.md beside this folder."""

import os
import sys


def token():
    return os.environ["COLOPHON_TOKEN"]


def run(client):
    """Calls the method of `client` that the command line names."""
    command, *arguments = sys.argv[1:]
    getattr(client, command)(*arguments)
