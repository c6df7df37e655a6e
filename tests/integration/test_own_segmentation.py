"""A graph over a segmentation of one's own: built and served by the documented commands, and asked over HTTP."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml
from click.testing import CliRunner
from cloudvolume import CloudVolume

from infra.standin.build import main

ROOT = Path(__file__).resolve().parents[2]
OFFSET = (100, 200, 10)
BIG, SMALL = 2**60 + 7, 5


@pytest.fixture
def segmentation(tmp_path: Path) -> str:
    """Two segments, one through three chunks along x, the other in a corner; of a resolution that is not whole."""
    labels = np.zeros((80, 40, 40), dtype=np.uint64)
    labels[4:76, 10:14, 10:14] = BIG
    labels[:3, :3, :3] = SMALL
    address = f"precomputed://{(tmp_path / 'segmentation').as_uri()}"
    info = CloudVolume.create_new_info(
        num_channels=1, layer_type="segmentation", data_type="uint64", encoding="raw", resolution=(7.5, 8, 30),
        voxel_offset=OFFSET, chunk_size=(32, 32, 32), volume_size=labels.shape,
    )  # fmt: skip
    volume = CloudVolume(address, info=info, progress=False)
    volume.commit_info()
    volume[:] = labels[..., np.newaxis]
    return address


def build(segmentation: str, out: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, [segmentation, str(out), "--chunk-size", "32,32,32", *options])
    return done.exit_code, done.output


def test_a_graph_is_built_and_served_over_it(segmentation: str, tmp_path: Path) -> None:
    out, datasets = tmp_path / "graph", tmp_path / "datasets.yaml"
    code, said = build(segmentation, out, "--name", "mine")
    assert (code, "12 chunks, 4 supervoxels, 2 neurons" in said) == (0, True), said
    assert f"python -m infra.standin.serve {out}" in said
    command = [sys.executable, "-m", "infra.standin.serve", out, "--port", "0", "--datasets", datasets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0]
            server.stdout.readline()
            entry = yaml.safe_load(datasets.read_text())["mine"]
            assert entry["cv_path"] == f"graphene://{url}/segmentation/table/mine"
            volume = CloudVolume(entry["cv_path"], progress=False, secrets="local")
            assert list(volume.resolution) == [7.5, 8, 30]
            supervoxel = int(volume.download_point((150, 211, 21), size=1, agglomerate=False).item())
            far_one = int(volume.download_point((172, 211, 21), size=1, agglomerate=False).item())
            assert supervoxel != far_one
            api = f"{url}/segmentation/api/v1/table/mine/node"
            roots = [requests.get(f"{api}/{one}/root", timeout=30).json()["root_id"] for one in (supervoxel, far_one)]
            assert roots[0] == roots[1]
            leaves = requests.get(f"{api}/{roots[0]}/leaves?stop_layer=2", timeout=30).json()["leaf_ids"]
            assert len(leaves) == 3
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


def test_what_is_there_is_kept_and_what_cannot_be_is_said(segmentation: str, tmp_path: Path) -> None:
    out = tmp_path / "graph"
    assert build(segmentation, out, "--bounding-box", "100,200,10:110,210,20")[0] == 0
    assert "1 neurons" in build(segmentation, out, "--again", "--bounding-box", "100,200,10:110,210,20")[1]
    assert "--again" in build(segmentation, out)[1]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    assert "no graph" in build(segmentation, tmp_path / "thesis", "--again")[1]
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    for options, named in (
        (("--bounding-box", "0,0,0:5,5,5"), "outside"),
        (("--bounding-box", "150,230,40:155,235,45"), "no segment"),
        (("--chunk-size", "0,1,1"), "positive"),
        (("--bounding-box", "1:2"), "X,Y,Z:X,Y,Z"),
    ):
        code, said = build(segmentation, tmp_path / "other", *options)
        assert (code != 0, named in said) == (True, True), said
    code, said = build(f"precomputed://{(tmp_path / 'nothing').as_uri()}", tmp_path / "other")
    assert (code, "cannot be opened" in said) == (1, True)


def test_a_segmentation_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    address = f"precomputed://{(tmp_path / 'large').as_uri()}"
    info = CloudVolume.create_new_info(
        num_channels=1, layer_type="segmentation", data_type="uint64", encoding="raw", resolution=(8, 8, 30),
        voxel_offset=(0, 0, 0), chunk_size=(64, 64, 64), volume_size=(4000, 4000, 4000),
    )  # fmt: skip
    CloudVolume(address, info=info, progress=False).commit_info()
    code, said = build(address, tmp_path / "graph")
    assert (code, "--bounding-box" in said) == (1, True)
