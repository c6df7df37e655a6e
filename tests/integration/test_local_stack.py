"""What the local stack says before it starts: of ports that are taken, and of graph servers that do not answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from infra.local.graph_check import check_graph_servers
from infra.local.ports import PREFERRED_PORTS, choose_ports
from infra.local.stack import main
from shared.errors import ConfigurationError
from tests.support.graph.servers import serving

INFO = {
    "data_dir": "gs://bucket/ws",
    "graph": {"chunk_size": [128, 128, 64], "spatial_bit_masks": {"1": 10, "2": 10}},
    "scales": [{"resolution": [16, 16, 40], "size": [480, 496, 464], "voxel_offset": [1100, 2030, 305]}],
}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def datasets(folder: Path, graph_url: str) -> Path:
    file = folder / "datasets.yaml"
    file.write_text(
        yaml.safe_dump({"brain": {"cv_path": f"graphene://{graph_url}/segmentation/table/brain", "l2cache_id": "b_v1"}})
    )
    return file


def stack(folder: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["--state", str(folder / "state"), *options])
    assert isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


def test_a_taken_port_is_named_with_the_service_that_needs_it(tmp_path: Path, taken: int) -> None:
    file = datasets(tmp_path, "http://127.0.0.1:9")
    code, said = stack(tmp_path, "--config", str(file), "--no-graph-check", "--port", str(taken - 2))
    assert code == 1
    assert "is taken" in said
    assert "--port" in said
    # The folder is free for the next attempt.
    assert "is taken" in stack(tmp_path, "--config", str(file), "--no-graph-check", "--port", str(taken - 2))[1]


def test_without_a_base_another_port_is_taken_and_told(tmp_path: Path, taken: int) -> None:
    file = tmp_path / "ports.json"
    file.write_text(json.dumps({**dict.fromkeys(PREFERRED_PORTS, 0), "compute": taken}))
    ports = choose_ports(file)
    assert ports.by_service["compute"] != taken
    assert ports.notice.startswith(f"port {taken} is taken: compute listens at {ports.by_service['compute']}")
    assert len(set(ports.by_service.values())) == len(PREFERRED_PORTS)
    again = choose_ports(file)
    assert (again.by_service, again.notice) == (ports.by_service, "")


def test_a_graph_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    code, said = stack(tmp_path, "--config", str(datasets(tmp_path, "http://127.0.0.1:9")))
    assert code == 1
    for named in ("dataset brain", "http://127.0.0.1:9/", "datasets.yaml", "--no-graph-check"):
        assert named in said
    assert "Traceback" not in said
    assert not (tmp_path / "state").exists()


def test_a_graph_server_that_answers_is_no_hindrance_and_one_that_is_none_is_named(tmp_path: Path) -> None:
    answers = {"/segmentation/table/brain/info": INFO}

    def app(environ: dict[str, str], start_response: object) -> list[bytes]:
        document = answers.get(environ["PATH_INFO"])
        start_response("200 OK" if document else "404 NOT FOUND", [("Content-Type", "application/json")])  # type: ignore[operator]
        return [json.dumps(document).encode()]

    with serving(app) as url:
        check_graph_servers(datasets(tmp_path, url))
        answers.clear()
        with pytest.raises(ConfigurationError, match="dataset brain"):
            check_graph_servers(datasets(tmp_path, url))


def test_a_folder_that_holds_no_graph_is_named(tmp_path: Path) -> None:
    code, said = stack(tmp_path, "--world", str(tmp_path))
    assert (code, "infra.standin.build" in said) == (1, True)
