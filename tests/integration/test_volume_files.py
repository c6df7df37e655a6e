"""A local graph's volume over HTTP: what CloudVolume reads of it, and what browsers ask before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import requests
from cloudvolume import CloudVolume
from flask import Flask

from infra.standin.graph.volume_files import VOLUME_PATH, add_volume
from shared.types import UInt64Array
from tests.support.graph.servers import serving

VOXELS: UInt64Array = np.asfortranarray(np.random.default_rng(5).integers(1, 9, (64, 64, 32), dtype=np.uint64))


@pytest.fixture(scope="module", params=["gzip", None])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A volume, packed and plain, in a folder with a secret beside it."""
    folder = tmp_path_factory.mktemp("volume")
    (folder / "secret").write_text("secret")
    place = folder / "watershed"
    info = CloudVolume.create_new_info(1, "segmentation", "uint64", "raw", (16, 16, 40), (0, 0, 0), VOXELS.shape)
    volume = CloudVolume(place.as_uri(), info=info, compress=request.param, progress=False)
    volume.commit_info()
    volume[:] = VOXELS[..., np.newaxis]
    app = Flask("volume", static_folder=None)
    add_volume(app, place)
    with serving(app) as address:
        yield address + VOLUME_PATH


def test_the_volume_is_read_as_from_its_folder(url: str) -> None:
    volume = CloudVolume(f"precomputed://{url}", progress=False, use_https=False)
    assert np.array_equal(np.asarray(volume[:])[..., 0], VOXELS)


def test_a_part_of_a_plain_file_can_be_read(url: str) -> None:
    whole = requests.get(f"{url}/info", timeout=5)
    part = requests.get(f"{url}/info", headers={"Range": "bytes=2-9", "Accept-Encoding": "identity"}, timeout=5)
    assert (part.status_code, part.content) == (206, whole.content[2:10])


def test_pages_of_other_sites_may_read_it(url: str) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    origin = {"Origin": "https://neuroglancer-demo.appspot.com"}
    first = requests.options(f"{url}/info", headers=origin | asked, timeout=5)
    assert first.status_code == 204
    assert first.headers["Access-Control-Allow-Headers"] == "range"
    assert first.headers["Access-Control-Allow-Private-Network"] == "true"
    answers = [requests.get(f"{url}/{name}", headers=origin, timeout=5) for name in ("info", "no/such_file")]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in (first, *answers)} == {"*"}


def test_nothing_beside_the_volume_is_read(url: str) -> None:
    for name in ("../secret", "%2e%2e/secret", "..%2fsecret", "1_1_1/../../secret"):
        request = requests.Request("GET", url).prepare()
        request.url = f"{url}/{name}"
        with requests.Session() as session:
            answer = session.send(request, timeout=5)
        assert (answer.status_code, "secret" in answer.text) == (404, False)
