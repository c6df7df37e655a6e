"""Locks: what a function's `requirements.txt` comes to when pip resolves it, every package with its version.

`make lock` resolves anew. The lock lies beside the requirements and is what is deployed, so that a deployment of today
and its repetition next year install the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("lookup", "compute", "ingest")
LOCK_NAME = "requirements.lock"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;#]+)")
_MADE_FROM = "# made by `make lock` from requirements.txt, sha256 "


class StaleLockError(RuntimeError):
    """A function's requirements changed after its lock was made."""


def pins(text: str) -> dict[str, str]:
    """Versions by package name, normalized, of a file of pinned requirements.

    Raises:
      ValueError: naming the line that pins nothing.
    """
    found = {}
    for line in text.splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement:
            match = _PIN.fullmatch(requirement)
            if match is None:
                raise ValueError(f"{requirement!r} pins no version")
            found[_normalized(match["name"])] = match["version"]
    return found


def locked(folder: Path) -> str:
    """The lock of the function in a folder.

    Raises:
      StaleLockError: if it was made from other requirements, or never.
    """
    lock = folder / LOCK_NAME
    text = lock.read_text() if lock.is_file() else ""
    if text.splitlines()[:1] != [_header(folder)]:
        raise StaleLockError(f"{lock} does not fit requirements.txt: run `make lock`")
    return text


def resolve(folder: Path) -> str:
    """The lock that pip makes of a function's requirements for this interpreter, as text; needs the network."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.json"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--quiet",
            "--disable-pip-version-check",
            "--dry-run",
        ]
        command += ["--ignore-installed", "--report", str(report), "-r", str(folder / "requirements.txt")]
        subprocess.run(command, check=True)
        installed = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    lines = sorted(f"{_normalized(metadata['name'])}=={metadata['version']}" for metadata in installed)
    return "\n".join([_header(folder), *lines, ""])


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _header(folder: Path) -> str:
    return _MADE_FROM + hashlib.sha256((folder / "requirements.txt").read_bytes()).hexdigest()


@click.command()
def main() -> None:
    """Resolves the requirements of all functions and writes their locks."""
    for name in FUNCTIONS:
        folder = ROOT / "functions" / name
        (folder / LOCK_NAME).write_text(resolve(folder))
        click.echo(f"{folder / LOCK_NAME}: {len(pins(locked(folder)))} packages")


if __name__ == "__main__":
    main()
