"""Packages: each function's folder and zip, ready to be deployed.

`make package` fills `dist`: for each function a folder with `main.py`, the modules of `shared` that it can reach and
the pages among them, its locked `requirements.txt`, and the same as a zip; beside them `package.json`, which tells what
was packaged and for which Python. The same sources give the same bytes.

The compute function's kernels are compiled here, for all x86-64-v3 machines: an instance that starts loads them. So
this runs on Linux on such a machine only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import click

from infra.packaging.import_graph import reachable_modules
from infra.packaging.lock import FUNCTIONS, ROOT, StaleLockError, locked
from infra.packaging.machine import Machine, UnfitMachineError
from shared.config.version import VERSION
from shared.web.page import MANIFEST

DIST = ROOT / "dist"
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the first that zip knows
_FILE_MODE = 0o100644
_COMPILER = Path(__file__).with_name("compile_kernels.py")


def stage(name: str, dist: Path, root: Path = ROOT) -> Path:
    """Fills a function's folder, which is emptied first.

    Args:
      name: the function.
      dist: the folder is made in here.
      root: of the project.

    Returns:
      The folder.

    Raises:
      StaleLockError: if the function's lock does not fit its requirements.
    """
    source, folder = root / "functions" / name, dist / name
    shutil.rmtree(folder, ignore_errors=True)
    modules = reachable_modules(source / "main.py", root)
    _copy(source / "main.py", folder / "main.py")
    for file in (*modules, *page_files(modules, root)):
        _copy(root / file, folder / file)
    (folder / "requirements.txt").write_text(locked(source))
    if Path("shared/features/compiled.py") in modules:
        _compile_kernels(folder)
    return folder


def page_files(modules: Iterable[Path], root: Path) -> list[Path]:
    """The built pages that go with modules: what the manifest beside an `__init__.py` lists, relative to `root`."""
    found: list[Path] = []
    for folder in (module.parent for module in modules if module.name == "__init__.py"):
        if (root / folder / MANIFEST).is_file():
            listed = json.loads((root / folder / MANIFEST).read_text())["files"]
            found += [folder / name for name in (MANIFEST, *sorted(listed))]
    return found


def make_zip(folder: Path) -> Path:
    """Packs a folder into a zip beside it: sorted, without times, owners and bytecode."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in _packed_files(folder):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_DATE)
            entry.external_attr = _FILE_MODE << 16
            entry.create_system = 3  # Unix, wherever it is made
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return target


def package(dist: Path = DIST, machine: Machine | None = None) -> dict[str, str]:
    """Stages and packs all functions.

    Args:
      dist: folder to fill.
      machine: what the kernels are compiled on; this one if left out.

    Returns:
      The zips' SHA-256 by function.

    Raises:
      UnfitMachineError: if kernels compiled on the machine serve nobody; nothing is packaged then.
      StaleLockError: if a function's lock does not fit its requirements.
    """
    (machine or Machine.here()).require_portable_code()
    digests = {}
    for name in FUNCTIONS:
        digests[name] = hashlib.sha256(make_zip(stage(name, dist)).read_bytes()).hexdigest()
    runtime = f"python{sys.version_info.major}{sys.version_info.minor}"
    document = {"version": VERSION, "runtime": runtime, "zips": digests}
    (dist / "package.json").write_text(json.dumps(document, indent=2) + "\n")
    return digests


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _packed_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")


def _compile_kernels(folder: Path) -> None:
    """Runs every kernel once out of the folder; the compiled code stays beside the sources."""
    left_out = ("NUMBA_", "PYTHON", "L2CACHE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment |= {"PYTHONPATH": str(folder), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, str(_COMPILER)], cwd=folder, env=environment, check=True)


@click.command()
@click.option("--dist", type=click.Path(file_okay=False, path_type=Path), default=DIST, help="Folder to fill.")
def main(dist: Path) -> None:
    """Packages all functions for deployment."""
    try:
        digests = package(dist.resolve())
    except (StaleLockError, UnfitMachineError) as error:
        sys.exit(str(error))
    for name, digest in digests.items():
        file = dist / f"{name}.zip"
        click.echo(f"{file}: {file.stat().st_size // 1024} KiB, sha256 {digest[:16]}")


if __name__ == "__main__":
    main()
