"""securesystemslib verifies a DSSE envelope and prints its payload.

usage: dsse.py ENVELOPE KEY, where KEY is what /v1/keys/operator answers
"""

import json
import pathlib
import sys

from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey


def main(envelope, key):
    envelope = Envelope.from_dict(json.loads(pathlib.Path(envelope).read_text()))
    told = json.loads(pathlib.Path(key).read_text())
    keytype = told["keytype"]
    key = SSlibKey(told["keyid"], keytype, keytype, {"public": told["public"]})
    accepted = envelope.verify([key], 1)
    assert list(accepted) == [told["keyid"]], accepted
    print(json.dumps({"type": envelope.payload_type, "payload": envelope.payload.decode()}))


main(*sys.argv[1:])
