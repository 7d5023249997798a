"""A TUF repository that tests change as they like, made with python-tuf, and the server in front of it."""

import json
import threading
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    MetaFile,
    Metadata,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

TOP = ["root", "targets", "snapshot", "timestamp"]
REST = ["targets", "snapshot", "timestamp"]


def days(count):
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=count)


class Repository:
    """Metadata is changed in `md`, and served once it is published. `requests` says what was asked for."""

    def __init__(self, consistent=True, hashes=False):
        self.hashes = hashes
        self.requests = []
        self.files = {}
        self.artifacts = {}
        self.signers = {}
        self.md = {
            "root": Metadata(Root(expires=days(30), consistent_snapshot=consistent)),
            "targets": Metadata(Targets(expires=days(30))),
            "snapshot": Metadata(Snapshot(expires=days(30))),
            "timestamp": Metadata(Timestamp(expires=days(30))),
        }
        for role in TOP:
            self.add_key(role)
        self.publish(*REST, "root", bump=False)
        self.initial_root = self.files["1.root.json"]

    def signed(self, role):
        return self.md[role].signed

    def add_key(self, role, signer=None, by="root"):
        """One key more for a role, which also signs for it."""
        signer = signer or CryptoSigner.generate_ecdsa()
        self.signed(by).add_key(signer.public_key, role)
        self.signers.setdefault(role, []).append(signer)
        return signer

    def rotate(self, role):
        """Another key in place of all keys of a role."""
        self.signed("root").roles[role].keyids.clear()
        self.signers[role] = []
        self.add_key(role)

    def publish(self, *roles, bump=True):
        """Signs and serves roles in this order, each listed by the one that lists it."""
        for role in roles:
            if bump:
                self.signed(role).version += 1
            self.serve(role, self.sign(role))

    def sign(self, role):
        md = self.md[role]
        md.signatures.clear()
        for signer in self.signers[role]:
            md.sign(signer, append=True)
        return md.to_bytes()

    def serve(self, role, data, list_it=True):
        """Serves these bytes as the current file of a role."""
        version = self.signed(role).version
        consistent = self.signed("root").consistent_snapshot
        if role == "root" or (consistent and role != "timestamp"):
            self.files[f"{version}.{role}.json"] = data
        else:
            self.files[f"{role}.json"] = data
        if not list_it or role in ("root", "timestamp"):
            return
        entry = MetaFile(version)
        if self.hashes:
            entry = MetaFile.from_data(version, data, ["sha256"])
        if role == "snapshot":
            self.signed("timestamp").snapshot_meta = entry
        else:
            self.signed("snapshot").meta[f"{role}.json"] = entry

    def current(self, role):
        """What is served of a role, as JSON to be changed and served again."""
        version = self.signed(role).version
        data = self.files.get(f"{version}.{role}.json") or self.files[f"{role}.json"]
        return json.loads(data)

    def add_target(self, path, data, role="targets", algorithms=("sha256",)):
        target = TargetFile.from_data(path, data, list(algorithms))
        self.signed(role).targets[path] = target
        self.artifacts[path] = data
        return target

    def delegate(self, by, name, paths=("*",), prefixes=None, terminating=False):
        """A role that another one trusts, with a key of its own."""
        delegator = self.signed(by)
        if delegator.delegations is None:
            delegator.delegations = Delegations({}, roles={})
        paths = None if prefixes else list(paths)
        delegator.delegations.roles[name] = DelegatedRole(name, [], 1, terminating, paths, prefixes)
        known = self.signers.get(name)
        self.md.setdefault(name, Metadata(Targets(expires=days(30))))
        if known:
            delegator.add_key(known[0].public_key, name)
        else:
            self.add_key(name, by=by)

    def delegate_bins(self, bits, prefix):
        """Hash bins that share one key."""
        bins = SuccinctRoles([], 1, bits, prefix)
        self.signed("targets").delegations = Delegations({}, None, bins)
        signer = CryptoSigner.generate_ed25519()
        self.signed("targets").add_key(signer.public_key)
        for name in bins.get_roles():
            self.md[name] = Metadata(Targets(expires=days(30)))
            self.signers[name] = [signer]
        return bins

    def publish_all(self):
        """Publishes every role but root for the first or another time."""
        delegated = [role for role in self.md if role not in TOP]
        self.publish(*delegated, bump=False)
        self.publish(*REST)

    def fetch(self, path):
        self.requests.append(path)
        kind, _, name = path.partition("/")
        if kind == "metadata":
            return self.files.get(unquote(name))
        folder, _, last = name.rpartition("/")
        prefix = ""
        if self.signed("root").consistent_snapshot:
            prefix, _, last = last.partition(".")
        path = unquote(f"{folder}/{last}".lstrip("/"))
        data = self.artifacts.get(path)
        listed = [md.signed.targets.get(path) for md in self.md.values() if md.signed.type == "targets"]
        hashes = [digest for target in listed if target for digest in target.hashes.values()]
        return data if not prefix or prefix in hashes else None

    def asked_for(self):
        """The metadata that was asked for since the last call, as it stood in the URLs."""
        names = [path.removeprefix("metadata/") for path in self.requests if path.startswith("metadata/")]
        self.requests = []
        return names


class Server:
    """Serves one repository on a free port."""

    def __init__(self):
        self.repository = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                data = outer.repository.fetch(self.path.lstrip("/"))
                self.send_response(200 if data is not None else 404)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        serve = threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)
        serve.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def copy_of_key(signer, keyid):
    """The same public key under another id."""
    key = deepcopy(signer.public_key)
    key.keyid = keyid
    return key
