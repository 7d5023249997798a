"""Stock Python tools on what a server writes about a bundle.

usage: attest.py dsse ENVELOPE KEYS   securesystemslib verifies both signatures; prints the payload
       attest.py sbom FILE            the validator of CycloneDX 1.6
"""

import json
import pathlib
import sys


def dsse(envelope, keys):
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    envelope = Envelope.from_dict(json.loads(pathlib.Path(envelope).read_text()))
    told = json.loads(pathlib.Path(keys).read_text())["keys"]
    keys = []
    for key in told:
        public = key["pem"]
        if key["keytype"] == "ed25519":  # TUF's form of these is the raw key in hex
            from cryptography.hazmat.primitives import serialization

            raw = serialization.load_pem_public_key(public.encode())
            public = raw.public_bytes_raw().hex()
        keys.append(SSlibKey(key["keyid"], key["keytype"], key["scheme"], {"public": public}))
    accepted = envelope.verify(keys, len(keys))
    assert sorted(accepted) == sorted(key["keyid"] for key in told), accepted
    for key in keys:
        assert list(envelope.verify([key], 1)) == [key.keyid]
    print(json.dumps({"type": envelope.payload_type, "payload": envelope.payload.decode()}))


def sbom(file):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(file).read_text())
    assert error is None, error
    print("valid")


{"dsse": dsse, "sbom": sbom}[sys.argv[1]](*sys.argv[2:])
