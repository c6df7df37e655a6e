"""The packages of `make package`, unpacked and run as the platform runs them: their own requirements, their own folder.

Each function gets a virtual environment under .cache, named after its requirements, so that only the first run of tests
installs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from infra.local.free_port import free_port

ROOT = Path(__file__).resolve().parents[3]
_ENVIRONMENTS = ROOT / ".cache" / "packages"
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class PackagedFunction:
    """An unpacked package and the interpreter that has its requirements."""

    name: str
    folder: Path
    python: Path

    def run(self, program: str, environment: Mapping[str, str], cwd: Path) -> str:
        """What a program prints that has only the package's folder on its path."""
        done = subprocess.run(
            [str(self.python), "-c", program],
            env={**_clean(environment), "PYTHONPATH": str(self.folder)},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def serving(self, environment: Mapping[str, str], cwd: Path) -> Iterator[str]:
        """Runs the function through functions-framework until the block ends; yields its address.

        Args:
          environment: all variables that it gets.
          cwd: where it is started; its output goes to a file there.
        """
        port = free_port()
        command = [str(self.python), "-m", "functions_framework", "--target", self.name]
        command += ["--source", str(self.folder / "main.py"), "--host", "127.0.0.1", "--port", str(port)]
        output = cwd / f"{self.name}.log"
        with output.open("w") as log:
            process = subprocess.Popen(command, env=_clean(environment), cwd=cwd, stdout=log, stderr=log)
            try:
                _wait(f"http://127.0.0.1:{port}/health", process, output)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(timeout=30)


def unpack(archive: Path, folder: Path) -> PackagedFunction:
    """The function in a package, unpacked into a folder and made read-only, its requirements installed."""
    name = archive.stem
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return PackagedFunction(name, folder, _interpreter(name, folder / "requirements.txt"))


def release(folder: Path) -> None:
    """Removes an unpacked package."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


def _interpreter(name: str, requirements: Path) -> Path:
    digest = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()[:16]
    place = _ENVIRONMENTS / f"{name}-{digest}"
    python = place / "bin" / "python"
    if not (place / "installed").exists():
        for stale in _ENVIRONMENTS.glob(f"{name}-*"):
            shutil.rmtree(stale)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
        install = [*uv, "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode", "--python", str(python)]
        subprocess.run([*install, "-r", str(requirements)], check=True)
        (place / "installed").touch()
    return python


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment}


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            requests.get(url, timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"the function does not answer: {output.read_text()[-3000:]}")
