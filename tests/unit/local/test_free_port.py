"""No two processes are given the same free port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.local.free_port import PortReservations, free_port

ROOT = Path(__file__).parents[3]
PORT = 40_123
OTHER = """
import sys
from pathlib import Path
from infra.local.free_port import PortReservations

ports = PortReservations(Path(sys.argv[1]))
print(ports.take(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


def test_a_port_is_anothers_as_long_as_that_lives(tmp_path: Path) -> None:
    file, command = tmp_path / "ports", [sys.executable, "-c", OTHER]
    own = PortReservations(file)
    with subprocess.Popen(
        [*command, str(file), str(PORT)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "True"
        assert not own.take(PORT)
        assert own.take(PORT + 1)
        other.kill()
        other.wait()
    assert own.take(PORT)


def test_a_process_does_not_get_a_port_twice(tmp_path: Path) -> None:
    own = PortReservations(tmp_path / "ports")
    assert own.take(PORT)
    assert not own.take(PORT)


def test_ports_of_servers_that_listen_by_now_are_given_up(tmp_path: Path) -> None:
    own = PortReservations(tmp_path / "ports")
    assert all(own.take(PORT + number) for number in range(1000))
    assert own.take(PORT)
    assert not own.take(PORT + 999)


def test_free_ports_differ() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)
