"""A client that speaks the command line of theupdateframework/tuf-conformance, on repositories that
python-tuf makes: the cases of that suite, and some more.

    TUF_CLIENT="edge-fetch tuf-client" python -m unittest -v test_client
    TUF_CLIENT="python python_tuf.py" python -m unittest -v test_client

The second one holds python-tuf's own client to the same expectations: both accept and refuse the same
bytes, for the same reason. Where they differ by choice or by a bug there, the test says so.
"""

import hashlib
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from repository import REST, Repository, Server, copy_of_key, days

CLIENT = os.environ["TUF_CLIENT"].split()
PEER = CLIENT[-1].endswith("python_tuf.py")

# What python-tuf raises for what edge-fetch says.
MEANING = {
    "malformed": "DeserializationError|RepositoryError|ValueError|KeyError",
    "valid signatures": "UnsignedMetadataError",
    "signatures where": "UnsignedMetadataError",
    "where 6 are needed": "UnsignedMetadataError",
    "expired": "ExpiredMetadataError",
    "went back": "BadVersionNumberError",
    "has version": "BadVersionNumberError",
    "no longer lists": "RepositoryError",
    "does not list": "RepositoryError|KeyError",
    "signed length and hash": "LengthOrHashMismatchError|DownloadLengthMismatchError",
    "larger than": "DownloadLengthMismatchError",
    "timestamp.json": "DownloadHTTPError",
    "offers no target": "LookupError",
    "cannot be trusted": "UnsignedMetadataError",
}


def differs(why):
    """A test whose expectation python-tuf does not meet."""
    return unittest.skipIf(PEER, why)


class Case(unittest.TestCase):
    """One repository, and one machine with the client."""

    consistent = True
    hashes = False

    def setUp(self):
        self.repo = Repository(self.consistent, self.hashes)
        self.server = Server()
        self.server.repository = self.repo
        self.addCleanup(self.server.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        (self.dir / "metadata").mkdir()
        (self.dir / "targets").mkdir()

    def run_client(self, *arguments):
        arguments = [*CLIENT, "--metadata-dir", str(self.dir / "metadata"), *arguments]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        self.said = done.stderr
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode

    def init(self, root=None):
        pinned = self.dir / "pinned.json"
        pinned.write_bytes(root or self.repo.initial_root)
        self.assertEqual(self.run_client("init", str(pinned)), 0)

    def refresh(self):
        return self.run_client("--metadata-url", f"{self.server.url}/metadata/", "refresh")

    def download(self, path):
        return self.run_client(
            "--metadata-url", f"{self.server.url}/metadata/",
            "--target-name", path,
            "--target-base-url", f"{self.server.url}/targets/",
            "--target-dir", str(self.dir / "targets"),
            "download",
        )

    def accepts(self):
        self.assertEqual(self.refresh(), 0, self.said)

    def refuses(self, why):
        self.assertEqual(self.refresh(), 1, "it was accepted")
        self.says(why)

    def says(self, why):
        """The error is this one, in the client's own words."""
        if not PEER:
            self.assertIn(why, self.said)
            return
        [meaning] = {names for words, names in MEANING.items() if words in why}
        self.assertRegex(self.said, meaning)

    def version(self, role):
        file = self.dir / "metadata" / f"{role}.json"
        return json.loads(file.read_bytes())["signed"]["version"] if file.exists() else None

    def versions(self):
        return [self.version(role) for role in ("root", "timestamp", "snapshot", "targets")]

    def downloaded(self):
        return sorted(file.read_bytes() for file in (self.dir / "targets").iterdir())

    def started(self):
        """Initialised and refreshed once."""
        self.init()
        self.accepts()
        self.repo.asked_for()


class Basics(Case):
    def test_first_refresh(self):
        self.init()
        self.assertEqual(self.repo.asked_for(), [])
        self.accepts()
        asked = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
        self.assertEqual(self.repo.asked_for(), asked)
        self.assertEqual(self.versions(), [1, 1, 1, 1])

    def test_nothing_new_costs_two_requests(self):
        self.started()
        self.accepts()
        self.assertEqual(self.repo.asked_for(), ["2.root.json", "timestamp.json"])

    def test_download_refreshes_first(self):
        self.init()
        self.assertEqual(self.download("nothing here"), 1)
        self.says("offers no target")
        self.assertEqual(self.versions(), [1, 1, 1, 1])

    def test_bytes_are_kept_as_they_came(self):
        self.started()
        for role in ("root", "timestamp", "snapshot", "targets"):
            kept = (self.dir / "metadata" / f"{role}.json").read_bytes()
            name = "timestamp.json" if role == "timestamp" else f"1.{role}.json"
            self.assertEqual(kept, self.repo.files[name])

    def test_invalid_initial_root(self):
        root = json.loads(self.repo.initial_root)
        del root["signed"]["version"]
        self.init(json.dumps(root).encode())
        self.refuses("malformed")
        self.assertEqual(self.repo.asked_for(), [])

    def test_unsigned_initial_root(self):
        root = json.loads(self.repo.initial_root)
        root["signatures"][0]["sig"] = "00" * 70
        self.init(json.dumps(root).encode())
        self.refuses("0 valid signatures where 1 are needed")
        self.assertEqual(self.repo.asked_for(), [])

    def test_timestamp_of_the_same_version_changes_nothing(self):
        self.started()
        self.repo.signed("timestamp").snapshot_meta.version = 100
        self.repo.publish("timestamp", bump=False)
        self.accepts()
        kept = json.loads((self.dir / "metadata/timestamp.json").read_bytes())
        self.assertEqual(kept["signed"]["meta"]["snapshot.json"]["version"], 1)

    def test_unknown_fields_are_signed_and_ignored(self):
        self.started()
        root = self.repo.signed("root")
        root.unrecognized_fields["field"] = "é\u0301 \" \\ \n"
        root.keys[root.roles["root"].keyids[0]].unrecognized_fields["more"] = {"ключ": [1, {"a": -2}]}
        root.roles["root"].unrecognized_fields["another"] = None
        self.repo.publish("root")
        self.accepts()
        self.assertEqual(self.version("root"), 2)

    def test_new_minor_version_of_the_specification(self):
        self.started()
        self.repo.signed("root").spec_version = "1.99.0"
        self.repo.publish("root")
        self.accepts()

    def test_new_major_version_of_the_specification(self):
        self.started()
        root = self.repo.current("root")
        root["signed"]["spec_version"] = "2.0.0"
        self.repo.signed("root").version += 1
        self.repo.serve("root", json.dumps(root).encode())
        self.refuses("malformed")

    def test_file_of_another_role(self):
        self.started()
        self.repo.files["timestamp.json"] = self.repo.files["1.snapshot.json"]
        self.refuses("malformed")

    def test_no_timestamp(self):
        self.started()
        del self.repo.files["timestamp.json"]
        self.refuses("timestamp.json")
        self.assertEqual(self.versions(), [1, 1, 1, 1])

    def test_too_large_a_timestamp(self):
        self.started()
        self.repo.files["timestamp.json"] += b" " * (1 << 20)
        self.refuses("larger than")


class Plain(Case):
    """Without consistent snapshots."""

    consistent = False

    def test_names_have_no_versions(self):
        self.init()
        self.accepts()
        asked = ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]
        self.assertEqual(self.repo.asked_for(), asked)

    def test_download(self):
        self.repo.add_target("a/b.txt", b"content")
        self.repo.publish(*REST)
        self.init()
        self.assertEqual(self.download("a/b.txt"), 0, self.said)
        self.assertEqual(self.repo.requests[-1], "targets/a/b.txt")

    def test_change_to_consistent_snapshots(self):
        self.started()
        self.repo.signed("root").consistent_snapshot = True
        self.repo.publish("root", *REST)
        self.accepts()
        asked = ["2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]
        self.assertEqual(self.repo.asked_for(), asked)


class Expiry(Case):
    def test_root(self):
        """The newest root counts; it is kept, and nothing after it is read."""
        self.started()
        self.repo.signed("root").expires = days(-1)
        self.repo.publish("root", *REST)
        self.refuses("the root metadata expired")
        self.assertEqual(self.versions(), [2, 1, 1, 1])

    def test_root_on_the_way(self):
        self.started()
        self.repo.signed("root").expires = days(-1)
        self.repo.publish("root")
        self.repo.signed("root").expires = days(1)
        self.repo.publish("root")
        self.accepts()
        self.assertEqual(self.version("root"), 3)

    def test_others(self):
        for role, kept in (("timestamp", [1, 1, 1]), ("snapshot", [2, 1, 1]), ("targets", [2, 2, 1])):
            with self.subTest(role):
                self.setUp()
                self.started()
                self.repo.signed(role).expires = days(-1)
                self.repo.publish(*REST)
                self.refuses(f"the {role} metadata expired")
                self.assertEqual(self.versions()[1:], kept)

    def test_delegated(self):
        self.repo.delegate("targets", "a")
        self.repo.signed("a").expires = days(-1)
        self.repo.publish_all()
        self.init()
        self.assertEqual(self.download("x"), 1)
        self.says("expired")
        self.assertIsNone(self.version("a"))

    def test_delegated_that_expired_since(self):
        """A role that is kept counts no longer than it says; a newer one is taken in its place."""
        self.repo.delegate("targets", "A")
        self.repo.add_target("x", b"x", "A")
        self.repo.signed("A").expires = days(-1)
        self.repo.publish_all()
        self.started()
        kept = self.dir / "metadata" / "A.json"
        kept.write_bytes(self.repo.files["1.A.json"])
        self.assertEqual(self.download("x"), 1)
        self.says("expired")
        self.assertEqual(self.downloaded(), [])
        self.repo.signed("A").expires = days(1)
        self.repo.publish("A", "snapshot", "timestamp")
        self.assertEqual(self.download("x"), 0, self.said)
        self.assertEqual((self.version("A"), self.downloaded()), (2, [b"x"]))


class Rollback(Case):
    def test_timestamp(self):
        self.repo.publish("timestamp")
        self.started()
        self.repo.signed("timestamp").version = 1
        self.repo.publish("timestamp", bump=False)
        self.refuses("timestamp metadata went back from version 2 to 1")
        self.assertEqual(self.version("timestamp"), 2)

    def test_snapshot(self):
        self.repo.publish("snapshot", "timestamp")
        self.started()
        self.repo.signed("snapshot").version = 1
        self.repo.publish("snapshot", bump=False)
        self.repo.publish("timestamp")
        self.refuses("snapshot metadata went back from version 2 to 1")
        self.assertEqual(self.versions()[1:3], [2, 2])

    def test_targets(self):
        self.repo.publish(*REST)
        self.started()
        self.repo.signed("targets").version = 1
        self.repo.publish("targets", bump=False)
        self.repo.publish("snapshot", "timestamp")
        self.refuses("targets metadata went back from version 2 to 1")
        self.assertEqual(self.versions()[2:], [2, 2])

    def test_role_that_vanishes(self):
        self.repo.delegate("targets", "a")
        self.repo.publish_all()
        self.started()
        del self.repo.signed("snapshot").meta["a.json"]
        self.repo.publish("snapshot", "timestamp")
        self.refuses("no longer lists `a.json`")

    def test_new_keys_undo_a_fast_forward(self):
        """Of the role itself for timestamp, and of snapshot for what it lists."""
        for role, rotated in (
            ("timestamp", ["timestamp"]),
            ("snapshot", ["timestamp", "snapshot"]),
            ("targets", ["snapshot"]),
        ):
            with self.subTest(role):
                self.setUp()
                self.repo.signed(role).version = 10**9
                self.repo.publish(*REST)
                self.started()
                self.repo.signed(role).version = 1
                for key in rotated:
                    self.repo.rotate(key)
                self.repo.publish("root", *REST)
                self.accepts()
                self.assertEqual(self.version(role), 2)

    def test_a_fast_forward_holds_without_new_keys(self):
        self.repo.signed("snapshot").version = 10**9
        self.repo.publish(*REST)
        self.started()
        self.repo.signed("snapshot").version = 1
        self.repo.rotate("targets")
        self.repo.publish("root", *REST)
        self.refuses("went back")


class RollbackWithHashes(Rollback):
    hashes = True


class Announced(Case):
    """What a file says about the next."""

    hashes = True

    def test_right(self):
        self.init()
        self.accepts()

    def test_other_bytes(self):
        for role in ("targets", "snapshot"):
            with self.subTest(role):
                self.setUp()
                self.started()
                self.repo.publish(*REST)
                self.repo.serve(role, self.repo.sign(role) + b" ", list_it=False)
                self.refuses(f"the {role} metadata does not have the signed length and hash")
                self.assertEqual(self.version(role), 1)

    def test_other_version(self):
        """Without hashes, only the version tells."""
        self.repo.hashes = False
        for role in ("targets", "snapshot"):
            with self.subTest(role):
                self.setUp()
                self.repo.hashes = False
                self.started()
                self.repo.publish(*REST)
                self.repo.signed(role).version = 7
                self.repo.files[f"2.{role}.json"] = self.repo.sign(role)
                self.refuses("has version 7, not 2")

    def test_old_targets_under_a_new_snapshot(self):
        self.started()
        old = self.repo.files["1.targets.json"]
        self.repo.publish(*REST)
        self.repo.files["2.targets.json"] = old
        self.refuses("signed length and hash")


class Keys(Case):
    def test_kinds(self):
        for make in (CryptoSigner.generate_ed25519, CryptoSigner.generate_ecdsa):
            with self.subTest(make.__name__):
                self.setUp()
                self.started()
                signer = self.repo.add_key("root", make())
                self.repo.signed("root").roles["root"].threshold = 2
                self.repo.publish("root")
                self.accepts()
                self.repo.publish("root")
                root = self.repo.current("root")
                for signature in root["signatures"]:
                    if signature["keyid"] == signer.public_key.keyid:
                        signature["sig"] = signature["sig"][:-4] + "0000"
                self.repo.serve("root", json.dumps(root).encode())
                self.refuses("1 valid signatures where 2 are needed")
                self.assertEqual(self.version("root"), 2)

    def test_older_name_of_ecdsa(self):
        self.started()
        signer = CryptoSigner.generate_ecdsa()
        signer.public_key.keytype = "ecdsa-sha2-nistp256"
        self.repo.add_key("root", signer)
        self.repo.signed("root").roles["root"].threshold = 2
        self.repo.publish("root")
        self.accepts()

    @differs("python-tuf supports RSA")
    def test_rsa_never_counts(self):
        """Not supported, on purpose: a key of it is carried along, and a threshold is not reached with it."""
        self.started()
        self.repo.add_key("root", CryptoSigner.generate_rsa())
        self.repo.publish("root")
        self.accepts()
        self.repo.signed("root").roles["root"].threshold = 2
        self.repo.publish("root")
        self.refuses("1 valid signatures where 2 are needed")

    def test_ids_that_are_no_hashes(self):
        self.started()
        signer = CryptoSigner.generate_ed25519()
        signer.public_key.keyid = "any name"
        self.repo.add_key("timestamp", signer)
        self.repo.signed("root").roles["timestamp"].threshold = 2
        self.repo.publish("root", "timestamp")
        self.accepts()

    def test_threshold(self):
        self.started()
        self.repo.signed("root").roles["snapshot"].threshold = 3
        for _ in range(2):
            self.repo.add_key("snapshot")
        self.repo.publish("root", *REST)
        self.accepts()
        self.repo.signers["snapshot"].pop()
        self.repo.publish(*REST)
        self.refuses("the snapshot metadata has 2 valid signatures where 3 are needed")

    def test_threshold_that_cannot_be_reached(self):
        self.started()
        self.repo.signed("root").roles["snapshot"].threshold = 6
        self.repo.publish("root", *REST)
        self.refuses("where 6 are needed")
        self.assertEqual(self.version("root"), 2)

    @differs("python-tuf counts ids, and leaves it to whoever writes the root that they are of different keys")
    def test_one_key_under_many_ids(self):
        self.started()
        signer = self.repo.add_key("snapshot")
        root = self.repo.signed("root")
        for number in range(5):
            root.add_key(copy_of_key(signer, f"alias-{number}"), "snapshot")
        root.roles["snapshot"].threshold = 3
        self.repo.publish("root", "snapshot", "timestamp")
        snapshot = self.repo.current("snapshot")
        [signature] = [s for s in snapshot["signatures"] if s["keyid"] == signer.public_key.keyid]
        for number in range(5):
            snapshot["signatures"].append({**signature, "keyid": f"alias-{number}"})
        self.repo.serve("snapshot", json.dumps(snapshot).encode())
        self.refuses("2 valid signatures where 3 are needed")

    def test_signature_twice(self):
        self.init()
        snapshot = self.repo.current("snapshot")
        snapshot["signatures"] *= 2
        self.repo.serve("snapshot", json.dumps(snapshot).encode())
        self.refuses("malformed")
        self.assertIsNone(self.version("snapshot"))

    def test_wrong_signature_beside_enough_right_ones(self):
        for wrong in ("", "00" * 70, "no hex"):
            with self.subTest(wrong):
                self.setUp()
                self.started()
                signer = self.repo.add_key("timestamp")
                self.repo.publish("root", "timestamp")
                timestamp = self.repo.current("timestamp")
                for signature in timestamp["signatures"]:
                    if signature["keyid"] == signer.public_key.keyid:
                        signature["sig"] = wrong
                self.repo.serve("timestamp", json.dumps(timestamp).encode())
                self.accepts()

    def test_rotation_of_other_roles(self):
        for role in REST:
            with self.subTest(role):
                self.setUp()
                self.started()
                old = self.repo.signers[role]
                self.repo.rotate(role)
                self.repo.publish("root", *REST)
                self.accepts()
                self.repo.signers[role] = old
                self.repo.publish(*REST)
                self.refuses("0 valid signatures")


class RootRotation(Case):
    """Sequences of roots: which keys of ten they name, the threshold, who signs, and whether the last holds."""

    def run_sequence(self, *roots, last=True):
        signers = [CryptoSigner.generate_ed25519() for _ in range(10)]
        root = self.repo.signed("root")
        root.version = 0
        self.repo.files.pop("1.root.json")
        for keys, threshold, signing in roots:
            root.roles["root"].keyids.clear()
            root.roles["root"].threshold = threshold
            for key in keys:
                root.add_key(signers[key].public_key, "root")
            self.repo.signers["root"] = [signers[key] for key in signing]
            self.repo.publish("root")
        self.init(self.repo.files["1.root.json"])
        self.assertEqual(self.refresh(), 0 if last else 1, self.said)
        self.assertEqual(self.version("root"), len(roots) if last else len(roots) - 1)

    def test_one_key(self):
        self.run_sequence(([1], 1, [1]), ([2], 1, [2, 1]), ([2], 1, [2]))

    def test_unused_signatures(self):
        self.run_sequence(([1], 1, [3, 1, 4]), ([2], 1, [3, 2, 1, 4]), ([2], 1, [3, 2, 4]))

    def test_other_signers_of_the_same_keys(self):
        five = [0, 1, 2, 3, 4]
        self.run_sequence((five, 3, [0, 2, 4]), (five, 3, [0, 4, 1]), (five, 3, [0, 1, 3]))

    def test_one_of_five(self):
        self.run_sequence(([0, 1, 2, 3, 4], 3, [0, 2, 4]), ([0, 1, 3, 4, 5], 3, [0, 4, 1]))

    def test_all_of_five_with_a_step_between(self):
        old, new = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]
        self.run_sequence((old, 3, [0, 2, 4]), (new, 3, [0, 2, 4, 5, 6, 7]), (new, 3, [5, 6, 7]))

    def test_higher_threshold(self):
        self.run_sequence(([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [1, 2]))

    def test_lower_threshold(self):
        three = [1, 2, 3]
        self.run_sequence((three, 2, [1, 2]), (three, 1, [1, 2]), (three, 1, [1]))

    def test_not_signed_by_the_old_key(self):
        self.run_sequence(([1], 1, [1]), ([2], 1, [2, 3, 4]), last=False)

    def test_not_signed_by_the_new_key(self):
        self.run_sequence(([1], 1, [1]), ([2], 1, [1, 3, 4]), last=False)

    def test_too_few_new_keys(self):
        old, new = [0, 1, 2, 3, 4], [0, 1, 3, 4, 5]
        self.run_sequence((old, 3, [0, 2, 4]), (new, 3, [0, 2, 4]), last=False)

    def test_too_few_old_keys(self):
        old, new = [0, 1, 2, 3, 4], [0, 1, 3, 4, 5]
        self.run_sequence((old, 3, [0, 2, 4]), (new, 3, [0, 4, 5]), last=False)

    def test_new_threshold_not_reached(self):
        self.run_sequence(([1, 2, 3], 1, [1]), ([1, 2, 3], 2, [2]), last=False)

    def test_old_threshold_not_reached(self):
        self.run_sequence(([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 1, [1]), last=False)

    def test_version_skipped(self):
        self.started()
        self.repo.signed("root").version = 2
        self.repo.publish("root")
        self.repo.files["2.root.json"] = self.repo.files["3.root.json"]
        self.refuses("has version 3, not 2")


class Downloads(Case):
    def listed(self, path, data, **options):
        target = self.repo.add_target(path, data, **options)
        self.repo.publish(*REST)
        self.init()
        return target

    def test_file(self):
        self.listed("file.txt", b"content")
        self.accepts()
        self.assertEqual(self.downloaded(), [])
        self.assertEqual(self.download("file.txt"), 0, self.said)
        self.assertEqual(self.downloaded(), [b"content"])

    def test_file_in_a_folder(self):
        self.listed("path/to/a/file.txt", b"content")
        self.assertEqual(self.download("path/to/a/file.txt"), 0, self.said)
        self.assertEqual(self.downloaded(), [b"content"])

    @differs("python-tuf puts the path into the URL as it is")
    def test_names_that_mean_something_in_a_url(self):
        for path in ("a b", "a?b", "a#b", "a%20b", "é"):
            with self.subTest(path):
                self.setUp()
                self.listed(path, path.encode())
                self.assertEqual(self.download(path), 0, self.said)
                self.assertEqual(self.downloaded(), [path.encode()])

    def test_names_that_mean_something_to_a_file_system(self):
        """Nothing lands outside of the folder."""
        for path in ("../out", "/root", "..", "."):
            with self.subTest(path):
                self.setUp()
                self.listed(path, path.encode())
                self.download(path)
                self.assertEqual(sorted(os.listdir(self.dir)), ["metadata", "pinned.json", "targets"])

    def test_empty_file(self):
        self.listed("empty", b"")
        self.assertEqual(self.download("empty"), 0, self.said)

    def test_a_second_time_from_the_folder(self):
        self.listed("file", b"content")
        self.assertEqual([self.download("file"), self.download("file")], [0, 0])
        self.assertEqual(sum(path.startswith("targets/") for path in self.repo.requests), 1)

    def test_damaged_in_the_folder(self):
        self.listed("file", b"content")
        self.assertEqual(self.download("file"), 0)
        (self.dir / "targets/file").write_bytes(b"CONTENT")
        self.assertEqual(self.download("file"), 0)
        self.assertEqual(self.downloaded(), [b"content"])

    def test_changes(self):
        self.listed("file", b"0")
        for number in range(1, 4):
            self.repo.add_target("file", str(number).encode())
            self.repo.publish(*REST)
            self.assertEqual(self.download("file"), 0, self.said)
            self.assertEqual(self.downloaded(), [str(number).encode()])

    def test_substituted(self):
        for data in (b"CONTENT", b"content and more", b"con", b""):
            with self.subTest(data):
                self.setUp()
                self.listed("file", b"content")
                self.repo.artifacts["file"] = data
                self.assertEqual(self.download("file"), 1)
                self.says("does not have the signed length and hash")
                self.assertEqual(self.downloaded(), [])

    def test_hash_algorithms(self):
        for algorithms in (["sha256"], ["sha512"], ["sha256", "sha512"]):
            with self.subTest(algorithms):
                self.setUp()
                self.listed("file", b"content", algorithms=algorithms)
                self.assertEqual(self.download("file"), 0, self.said)

    def test_unknown_hash_algorithm(self):
        target = self.repo.add_target("file", b"content", algorithms=["sha512"])
        target.hashes["another"] = target.hashes.pop("sha512")
        self.repo.publish(*REST)
        self.init()
        self.assertEqual(self.download("file"), 1)
        self.assertEqual(self.downloaded(), [])


class Attacks(Case):
    """What a server, or someone between, may try on metadata, by the numbers of docs/edge-protocol.md."""

    def test_a2_whole_old_repository(self):
        old = dict(self.repo.files)
        self.repo.publish(*REST)
        self.started()
        self.repo.files = old
        self.refuses("timestamp metadata went back from version 2 to 1")
        self.assertEqual(self.versions(), [1, 2, 2, 2])

    def test_a2_old_timestamp(self):
        old = self.repo.files["timestamp.json"]
        self.repo.publish(*REST)
        self.started()
        self.repo.files["timestamp.json"] = old
        self.refuses("timestamp metadata went back")

    def test_a3_old_targets_or_snapshot_under_new(self):
        for role in ("targets", "snapshot"):
            with self.subTest(role):
                self.setUp()
                self.started()
                self.repo.publish(*REST)
                self.repo.files[f"2.{role}.json"] = self.repo.files[f"1.{role}.json"]
                self.refuses(f"the {role} metadata has version 1, not 2")

    def test_a4_frozen(self):
        """The server goes on with what was right until it expired."""
        self.repo.signed("timestamp").expires = days(-1)
        self.repo.publish("timestamp")
        self.init()
        self.refuses("the timestamp metadata expired")

    def test_a4_withheld(self):
        self.started()
        del self.repo.files["timestamp.json"]
        self.refuses("timestamp.json")
        self.assertEqual(self.versions(), [1, 1, 1, 1])

    def test_a7_root_of_a_stranger(self):
        self.started()
        self.repo.rotate("root")
        self.repo.publish("root")
        self.refuses("0 valid signatures where 1 are needed")
        self.assertEqual(self.version("root"), 1)

    def test_a7_root_by_one_of_two(self):
        self.repo.add_key("root")
        self.repo.signed("root").roles["root"].threshold = 2
        self.repo.publish("root")
        self.started()
        self.repo.signers["root"].pop()
        self.repo.publish("root")
        self.refuses("1 valid signatures where 2 are needed")
        self.assertEqual(self.version("root"), 2)

    @differs("python-tuf stops at 256 roots a run without a word")
    def test_a7_endless_roots(self):
        self.repo.signers["root"] = []
        self.repo.signed("root").roles["root"].keyids.clear()
        self.repo.add_key("root", CryptoSigner.generate_ed25519())
        self.repo.publish("root", bump=False)
        for _ in range(300):
            self.repo.publish("root")
        self.init(self.repo.files["1.root.json"])
        self.refuses("more new root versions than one run follows")
        self.assertEqual(self.version("root"), 257)
        self.accepts()

    def test_a8_rotation_and_fast_forward(self):
        self.repo.signed("timestamp").version = 10**9
        self.repo.publish("timestamp")
        self.started()
        self.repo.signed("timestamp").version = 1
        self.repo.publish("timestamp")
        self.refuses("went back")
        self.repo.rotate("timestamp")
        self.repo.publish("root", "timestamp")
        self.accepts()
        self.assertEqual(self.versions(), [2, 3, 1, 1])

    def test_a9_one_key_twice(self):
        """A signature twice makes no second key."""
        self.started()
        self.repo.signed("root").roles["timestamp"].threshold = 2
        self.repo.publish("root", "timestamp")
        timestamp = self.repo.current("timestamp")
        timestamp["signatures"] *= 2
        self.repo.serve("timestamp", json.dumps(timestamp).encode())
        self.assertEqual(self.refresh(), 1)
        self.assertNotEqual(self.version("timestamp"), 2)

    def test_a10_repository_of_another_tenant(self):
        """Each tenant has its own keys: another one's files are those of a stranger."""
        self.started()
        self.repo = self.server.repository = Repository()
        self.repo.publish(*REST)
        self.refuses("0 valid signatures where 1 are needed")
        self.repo.publish("root")
        self.refuses("0 valid signatures where 1 are needed")

    def with_ed25519(self):
        """The timestamp signed by an Ed25519 key alone."""
        self.started()
        self.repo.signed("root").roles["timestamp"].keyids.clear()
        self.repo.signers["timestamp"] = []
        return self.repo.add_key("timestamp", CryptoSigner.generate_ed25519())

    def test_a27_malleated_signature(self):
        """S + L instead of S: the same signature in another spelling, which nobody with the key made."""
        self.with_ed25519()
        self.repo.publish("root", "timestamp")
        timestamp = self.repo.current("timestamp")
        raw = bytes.fromhex(timestamp["signatures"][0]["sig"])
        order = 2**252 + 27742317777372353535851937790883648493
        s = int.from_bytes(raw[32:], "little") + order
        timestamp["signatures"][0]["sig"] = (raw[:32] + s.to_bytes(32, "little")).hex()
        self.repo.serve("timestamp", json.dumps(timestamp).encode())
        self.refuses("0 valid signatures where 1 are needed")

    @differs("python-tuf leaves weak keys to whoever writes the root")
    def test_a27_key_of_low_order(self):
        """Under the identity point everybody can sign: R is the identity, S is 0."""
        key = self.with_ed25519().public_key
        key.keyval["public"] = (b"\1" + bytes(31)).hex()
        self.repo.publish("root", "timestamp")
        timestamp = self.repo.current("timestamp")
        timestamp["signatures"][0]["sig"] = (b"\1" + bytes(63)).hex()
        self.repo.serve("timestamp", json.dumps(timestamp).encode())
        self.refuses("0 valid signatures where 1 are needed")


class DelegationGraphs(Case):
    """In which order delegated roles are asked about a target that nobody has."""

    def visits(self, expected, *edges, path="missing"):
        for by, name, *options in edges:
            self.repo.delegate(by, name, **(options[0] if options else {}))
        self.repo.publish_all()
        self.init()
        self.assertEqual(self.download(path), 1)
        asked = [name.split(".")[1] for name in self.repo.asked_for()[4:]]
        self.assertEqual("".join(asked), expected)

    def test_one(self):
        self.visits("A", ("targets", "A"))

    def test_two(self):
        self.visits("AB", ("targets", "A"), ("targets", "B"))

    def test_two_levels(self):
        self.visits("ABC", ("targets", "A"), ("targets", "B"), ("B", "C"))

    def test_depth_first(self):
        self.visits("ACDB", ("targets", "A"), ("targets", "B"), ("A", "C"), ("A", "D"))

    def test_three_levels(self):
        self.visits("ACDB", ("targets", "A"), ("targets", "B"), ("A", "C"), ("C", "D"))

    def test_terminating(self):
        end = {"terminating": True}
        self.visits("AC", ("targets", "A"), ("targets", "B"), ("A", "C", end), ("A", "D"))

    def test_terminating_with_descendants(self):
        end = {"terminating": True}
        self.visits("ACD", ("targets", "A"), ("targets", "B"), ("A", "C", end), ("C", "D"))

    def test_branch_of_other_paths(self):
        other = {"paths": ["*.py"]}
        self.visits("B", ("targets", "A", other), ("targets", "B"), ("A", "C"))

    def test_deeper_branch_of_other_paths(self):
        other = {"paths": ["*.py"]}
        self.visits("AB", ("targets", "A"), ("targets", "B"), ("A", "C", other), ("C", "D"))

    def test_cycle(self):
        edges = ("targets", "A"), ("targets", "B"), ("B", "C"), ("C", "D"), ("D", "B")
        self.visits("ABCD", *edges)

    def test_two_that_trust_a_third(self):
        self.visits("ACB", ("targets", "A"), ("targets", "B"), ("B", "C"), ("A", "C"))

    def test_two_that_trust_a_third_with_other_paths(self):
        other = {"paths": ["*.py"]}
        self.visits("ABC", ("targets", "A"), ("targets", "B"), ("B", "C"), ("A", "C", other))

    def test_prefixes_of_hashes(self):
        digest = hashlib.sha256(b"missing").hexdigest()
        other = "0" if digest[0] != "0" else "1"
        self.visits("B", ("targets", "A", {"prefixes": [other]}), ("targets", "B", {"prefixes": [digest[:2]]}))

    def test_too_many(self):
        for number in range(40):
            self.repo.delegate("targets", f"r{number}")
        self.repo.publish_all()
        self.init()
        self.assertEqual(self.download("missing"), 1)
        self.assertEqual(len(self.repo.asked_for()[4:]), 32)


class Delegations(Case):
    def tree(self):
        self.repo.delegate("targets", "A", ["*.doc", "*.md"])
        self.repo.delegate("targets", "B", ["releases/*/*"])
        self.repo.delegate("B", "C", ["releases/x/*"])
        self.repo.delegate("B", "D", ["releases/y/*.zip"])
        for role, path in (
            ("targets", "top"), ("A", "README.md"), ("C", "releases/x/v1"),
            ("D", "releases/y/v1.zip"), ("D", "releases/z/v1.zip"),
        ):
            self.repo.add_target(path, path.encode(), role)
        self.repo.publish_all()
        self.init()

    def test_search(self):
        for path, found, visited in (
            ("top", True, ""), ("README.md", True, "A"), ("releases/x/v1", True, "BC"),
            ("releases/y/v1.zip", True, "BD"), ("releases/z/v1.zip", False, "B"),
        ):
            with self.subTest(path):
                self.setUp()
                self.tree()
                self.assertEqual(self.download(path), 0 if found else 1, self.said)
                asked = [name.split(".")[1] for name in self.repo.asked_for()[4:]]
                self.assertEqual("".join(asked), visited)
                self.assertEqual(self.downloaded(), [path.encode()] if found else [])

    def test_kept_role_is_not_asked_for_again(self):
        self.tree()
        self.assertEqual(self.download("README.md"), 0)
        self.repo.asked_for()
        self.assertEqual(self.download("README.md"), 0)
        self.assertEqual(self.repo.asked_for(), ["2.root.json", "timestamp.json"])

    @differs("python-tuf does not verify a kept role anew, a bug that its conformance run names")
    def test_kept_role_is_verified_by_its_present_delegator(self):
        """A role that is kept counts for nothing once other keys are trusted with it."""
        self.tree()
        self.assertEqual(self.download("README.md"), 0)
        self.repo.signed("targets").delegations.roles["A"].keyids.clear()
        self.repo.signers["A"], stolen = [], self.repo.signers["A"]
        self.repo.add_key("A", by="targets")
        self.repo.signers["A"] = stolen
        self.repo.publish(*REST)
        self.assertEqual(self.download("README.md"), 1)
        self.says("0 valid signatures where 1 are needed")

    def test_other_keys(self):
        self.repo.delegate("targets", "A")
        self.repo.signers["A"] = [CryptoSigner.generate_ed25519()]
        self.repo.publish_all()
        self.init()
        self.assertEqual(self.download("x"), 1)
        self.says("the delegated role `A` cannot be trusted")
        self.assertIsNone(self.version("A"))

    def test_role_that_the_snapshot_does_not_list(self):
        self.repo.delegate("targets", "A")
        self.repo.publish(*REST)
        self.init()
        self.assertEqual(self.download("x"), 1)
        self.says("does not list the role `A`")

    def test_unusual_names_of_roles(self):
        for name, encoded in (
            ("?", "%3F"), ("#", "%23"), ("/role", "%2Frole"), ("../role", "..%2Frole"), ("роль", None),
        ):
            with self.subTest(name):
                self.setUp()
                self.repo.delegate("targets", name)
                self.repo.publish_all()
                self.init()
                self.assertEqual(self.download("nothing"), 1)
                asked = self.repo.asked_for()[-1]
                self.assertIn(f"1.{encoded}.json" if encoded else "1.%D1%80", asked)
                self.assertEqual(len(list((self.dir / "metadata").glob("*.json"))), 5)

    def test_name_of_a_top_level_role(self):
        """It would take the place of that role's file."""
        self.repo.delegate("targets", "A")
        targets = self.repo.signed("targets").delegations
        targets.roles["A"].name = "root"
        self.repo.publish(*REST)
        self.init()
        self.refuses("malformed")

    def test_hash_bins(self):
        bins = self.repo.delegate_bins(5, "bin")
        paths = [f"file-{number}" for number in range(4)]
        for path in paths:
            self.repo.add_target(path, path.encode(), bins.get_role_for_target(path))
        self.repo.publish_all()
        self.init()
        for path in paths:
            self.repo.asked_for()
            self.assertEqual(self.download(path), 0, self.said)
            asked = self.repo.asked_for()[-1]
            self.assertTrue(asked.startswith(("1.bin-", "timestamp")), asked)
        self.assertEqual(self.downloaded(), sorted(path.encode() for path in paths))


class DelegationsWithHashes(Delegations):
    hashes = True


if __name__ == "__main__":
    unittest.main()
