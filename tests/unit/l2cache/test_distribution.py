"""What `pip install .` puts onto an operator's machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from shared.sqlite.deliveries import Deliveries
from shared.sqlite.delivery import Delivery

ROOT = Path(__file__).resolve().parents[3]


def test_the_wheel_holds_the_client_only_and_its_command(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, for setuptools builds beside what it packages
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("l2cache", "shared", "functions", "infra", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("l2cache-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [message_from_bytes(archive.read(name)) for name in names if name.endswith("/METADATA")]
        (entry_points,) = [archive.read(name).decode() for name in names if name.endswith("/entry_points.txt")]
        archive.extractall(tmp_path / "installed")
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"l2cache"}
    assert "l2cache/operations.json" in names
    assert "l2cache/deadletters/pubsub.py" in names
    assert "l2cache = l2cache.commands:main" in entry_points
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert sorted(need.split(">")[0] for need in needs) == ["click", "requests", "tqdm"]
    deliveries = Deliveries(tmp_path / "deliveries.db")
    deliveries.add_dead_letter(Delivery("message", b"12345678", {"table_id": "graph"}), 10, "the volume is away")
    deliveries.close()
    program = "from l2cache.commands import main; main(['deadletters', 'list', '../deliveries.db'])"
    # isolated: neither the checkout nor what it adds to the path
    alone = f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); {program}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", alone], capture_output=True, text=True, cwd=tmp_path / "installed"
    )
    assert (done.returncode, done.stdout) == (0, "1\ttable_id=graph\t8 bytes\t10 attempts\tthe volume is away\n")
