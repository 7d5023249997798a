"""A stock python-tuf client: refresh from a pinned root, download one target, say what came.

usage: python_tuf.py URL TENANT TOKEN ROOT CLIENT_DIR TARGET
"""

import hashlib
import json
import pathlib
import sys

import urllib3
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface


class BearerFetcher(FetcherInterface):
    """python-tuf's own fetcher has no way to send a token."""

    def __init__(self, token):
        self.pool = urllib3.PoolManager(headers={"Authorization": f"Bearer {token}"})

    def _fetch(self, url):
        response = self.pool.request("GET", url)
        if response.status >= 400:
            raise DownloadHTTPError(f"HTTP {response.status}", response.status)
        return iter([response.data])


def main(url, tenant, token, root, client, target):
    client = pathlib.Path(client)
    for folder in ("metadata", "targets"):
        (client / folder).mkdir(parents=True, exist_ok=True)
    updater = Updater(
        metadata_dir=str(client / "metadata"),
        metadata_base_url=f"{url}/v1/t/{tenant}/tuf/",
        target_dir=str(client / "targets"),
        target_base_url=f"{url}/v1/t/{tenant}/targets/",
        fetcher=BearerFetcher(token),
        bootstrap=pathlib.Path(root).read_bytes(),
    )
    updater.refresh()
    info = updater.get_targetinfo(target)
    path = updater.download_target(info)
    digest = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    version = info.unrecognized_fields["custom"]["colophon"].get("version")
    print(json.dumps({"sha256": digest, "version": version}))


main(*sys.argv[1:])
