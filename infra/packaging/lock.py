"""Locks: what a function's `requirements.txt` comes to, every package with its version and the hashes of its files.

`make lock` resolves anew. The lock lies beside the requirements and is what is deployed, so that a deployment of today
and its repetition next year install the same files: pip, which takes hashes in a file as an order to check all, refuses
others.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ("lookup", "compute", "ingest")
LOCK_NAME = "requirements.lock"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;#]+)")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
_MADE_FROM = "# made by `make lock` from requirements.txt, sha256 "


class StaleLockError(RuntimeError):
    """A function's requirements changed after its lock was made."""


def pins(text: str) -> dict[str, str]:
    """Versions by package name, normalized, of a file of pinned requirements, with hashes or without.

    Raises:
      ValueError: naming the line that pins nothing.
    """
    return {name: version for name, version, _ in _pinned(text)}


def unhashed(text: str) -> list[str]:
    """The packages of a file of pinned requirements that have no hash.

    Raises:
      ValueError: as `pins`.
    """
    return [name for name, _, hashes in _pinned(text) if not hashes]


def _pinned(text: str) -> Iterator[tuple[str, str, int]]:
    """Name, normalized, version and number of hashes of each requirement; a backslash goes on in the next line."""
    for line in text.replace("\\\n", " ").splitlines():
        requirement, hashes = _HASH.subn("", line.partition("#")[0])
        requirement = requirement.strip()
        if requirement:
            match = _PIN.fullmatch(requirement)
            if match is None:
                raise ValueError(f"{requirement!r} pins no version")
            yield _normalized(match["name"]), match["version"], hashes


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
    """The lock that uv makes of a function's requirements for this interpreter, as text; needs the network."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--generate-hashes", "--python", sys.executable, str(folder / "requirements.txt")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return f"{_header(folder)}\n{done.stdout}"


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
