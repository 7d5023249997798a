"""What flows store: values by key, per project, flow or run.

They are in the SQLite database that COLOPHON_STORE names, by default `colophon-store.sqlite3` in the
working folder. Changes are atomic, also between processes. `use` puts another store in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

MAX_VALUE = 512 * 1024

Change = Callable[[Any], Any]


class FileStore:
    """A store in a SQLite database."""

    def __init__(self, path: str | None = None) -> None:
        self._path = (
            path or os.environ.get("COLOPHON_STORE") or "colophon-store.sqlite3"
        )

    def change(self, scope: str, key: str, change: Change) -> Any:
        """Replaces a value by what `change` makes of it. None stands for no value."""
        with self._open() as database:
            where = "WHERE scope = ? AND key = ?"
            row = database.execute(
                f"SELECT value FROM store {where}", (scope, key)
            ).fetchone()
            new = change(None if row is None else json.loads(row[0]))
            database.execute(f"DELETE FROM store {where}", (scope, key))
            if new is not None:
                text = json.dumps(new)
                if len(text) > MAX_VALUE:
                    raise ValueError(f"a stored value has at most {MAX_VALUE} bytes")
                database.execute(
                    "INSERT INTO store VALUES (?, ?, ?)", (scope, key, text)
                )
        return new

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            database.execute(
                "CREATE TABLE IF NOT EXISTS store"
                " (scope TEXT, key TEXT, value TEXT, PRIMARY KEY (scope, key))"
            )
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        finally:
            database.close()


_store: Any = None


def use(store: Any) -> None:
    """Puts a store in place: anything with `change(scope, key, change)`."""
    global _store
    _store = store


def change(scope: str, key: str, how: Change) -> Any:
    """Replaces a value in the store in place."""
    return (_store or FileStore()).change(scope, key, how)
