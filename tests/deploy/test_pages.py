"""The pages' built files: they fit their sources, weigh little, and come of the same build anywhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.packaging.import_graph import reachable_modules
from infra.packaging.lock import FUNCTIONS
from infra.packaging.package import page_files
from shared.web.page import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "pages"
FOLDERS = {"lookup": "shared/lookup/page", "ingest": "shared/ingest/control/page"}
BUILT = {name: ROOT / folder for name, folder in FOLDERS.items()}
PAGES = [name for name, folder in BUILT.items() if (folder / MANIFEST).is_file()]
MOST_PACKED_BYTES = 400_000
MOST_BYTES = 1_000_000


def manifest(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((BUILT[name] / MANIFEST).read_text())
    return document


def digest_of_sources(name: str) -> str:
    """As `pages/build.mjs` reckons it."""
    files = [file for folder in ("common", name) for file in (SOURCES / folder).rglob("*") if file.is_file()]
    files += [SOURCES / file for file in ("build.mjs", "package-lock.json", "tsconfig.json")]
    paths = sorted((file.relative_to(SOURCES).as_posix(), file) for file in files)
    lines = (f"{path} {hashlib.sha256(file.read_bytes()).hexdigest()}\n" for path, file in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_files_are_those_of_the_sources(name: str) -> None:
    assert manifest(name)["sources"] == digest_of_sources(name), "run `make page` and commit what it makes"
    for file, listed in manifest(name)["files"].items():
        assert hashlib.sha256((BUILT[name] / file).read_bytes()).hexdigest() == listed["sha256"]
    others = {path.name for path in BUILT[name].iterdir()} - {"__init__.py", "__pycache__", MANIFEST}
    assert others == set(manifest(name)["files"])


@pytest.mark.parametrize("name", PAGES)
def test_the_licence_of_each_library_goes_along(name: str) -> None:
    (file,) = BUILT[name].glob("licences-*.txt")
    titles = {(n, v) for n, v in re.findall(r"^(\S+) (\S+) \([\w.-]+\)$", file.read_text(), re.M)}
    assert titles == set(manifest(name)["libraries"].items())
    pinned = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    assert manifest(name)["libraries"].items() <= pinned.items()


def test_pages_weigh_little() -> None:
    files = [BUILT[name] / file for name in PAGES for file in manifest(name)["files"]]
    assert sum(len(gzip.compress(file.read_bytes(), 2)) for file in files) <= MOST_PACKED_BYTES
    for name in PAGES:
        assert sum(path.stat().st_size for path in BUILT[name].iterdir() if path.is_file()) <= MOST_BYTES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_its_own_page_and_no_other(name: str) -> None:
    modules = reachable_modules(ROOT / "functions" / name / "main.py", ROOT)
    packed = {path.as_posix() for path in page_files(modules, ROOT)}
    own = (MANIFEST, *manifest(name)["files"]) if name in PAGES else ()
    assert packed == {f"{FOLDERS[name]}/{file}" for file in own}


def test_nothing_names_the_address_of_a_registry() -> None:
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()


def test_the_build_gives_the_same_bytes_again(tmp_path: Path) -> None:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed; the digest of the sources is checked all the same")
    copy = tmp_path / "pages"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    install = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    for command in (install, ("npm", "run", "check"), ("npm", "run", "build")):
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in PAGES:
        built = tmp_path / FOLDERS[name]
        for file in (MANIFEST, *manifest(name)["files"]):
            assert (built / file).read_bytes() == (BUILT[name] / file).read_bytes(), file
