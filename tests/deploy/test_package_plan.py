"""Packaging: which modules go with a function, that locks fit, and that the same sources give the same bytes."""

from __future__ import annotations

import ast
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from infra.packaging.import_graph import reachable_modules
from infra.packaging.lock import FUNCTIONS, ROOT, StaleLockError, locked, pins, unhashed
from infra.packaging.machine import Machine, UnfitMachineError
from infra.packaging.package import main, make_zip, package, page_files, stage

ENTRIES = {name: ROOT / "functions" / name / "main.py" for name in FUNCTIONS}


def sources(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def reached(folder: Path, files: dict[str, str]) -> set[str]:
    sources(folder, {"shared/__init__.py": "", **files})
    return {path.as_posix() for path in reachable_modules(folder / "main.py", folder)}


def test_imports_are_followed_through_modules_and_packages(tmp_path: Path) -> None:
    files = {
        "main.py": "import os\nfrom shared.a import thing\n",
        "shared/a.py": "from shared.b import c\n",
        "shared/b/__init__.py": "from shared.b.d import x\n",
        "shared/b/c.py": "",
        "shared/b/d.py": "import shared.e",
        "shared/e.py": "",
        "shared/unused.py": "",
    }
    expected = {"shared/__init__.py", "shared/a.py", "shared/b/__init__.py", "shared/b/c.py", "shared/b/d.py"}
    assert reached(tmp_path, files) == {*expected, "shared/e.py"}


def test_an_import_inside_a_function_counts(tmp_path: Path) -> None:
    files = {"main.py": "def f():\n    if f:\n        from shared import late\n", "shared/late.py": ""}
    assert "shared/late.py" in reached(tmp_path, files)


def test_an_import_for_type_checkers_does_not_count_but_its_alternative_does(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import shared.a\nelse:\n    import shared.b\n"
    found = reached(tmp_path, {"main.py": text, "shared/a.py": "", "shared/b.py": ""})
    assert "shared/b.py" in found
    assert "shared/a.py" not in found


def test_modules_that_import_each_other_are_found_once(tmp_path: Path) -> None:
    files = {"main.py": "import shared.a", "shared/a.py": "import shared.b", "shared/b.py": "import shared.a"}
    assert reached(tmp_path, files) == {"shared/__init__.py", "shared/a.py", "shared/b.py"}


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"shared\.nowhere"):
        reached(tmp_path, {"main.py": "import shared.nowhere"})


def modules_of(function: str) -> set[str]:
    return {path.relative_to("shared").as_posix() for path in reachable_modules(ENTRIES[function], ROOT)}


@pytest.mark.parametrize(
    ("function", "has", "lacks"),
    [
        (
            "lookup",
            "lookup/service.py",
            ["features/", "compute/", "isolation/", "volume/", "ingest/", "tasks/", "store/delivery_counts.py"],
        ),
        ("compute", "ingest/leaf/service.py", ["ingest/control/", "lookup/"]),
        (
            "ingest",
            "ingest/control/service.py",
            ["ingest/leaf/", "lookup/", "compute/", "isolation/", "volume/", "bus/", "messages/", "features/[!r]"],
        ),
    ],
)
def test_a_function_reaches_its_own_rooms_and_none_of_the_others(function: str, has: str, lacks: list[str]) -> None:
    modules = modules_of(function)
    assert has in modules
    assert [name for name in modules for room in lacks if fnmatch(name, f"{room}*")] == []


def test_the_compute_function_reaches_the_program_that_it_starts_for_isolated_chunks() -> None:
    assert "isolation/main.py" in modules_of("compute")


def test_the_compute_function_reaches_the_whole_engine() -> None:
    engine = {path.relative_to(ROOT / "shared").as_posix() for path in (ROOT / "shared" / "features").glob("*.py")}
    # what a chunk costs is for those who plan, not for the function
    assert engine - modules_of("compute") == {"features/memory.py"}


def test_packages_say_what_they_are_and_import_nothing() -> None:
    statements = {
        file.relative_to(ROOT).as_posix(): ast.parse(file.read_bytes()).body
        for folder in ("shared", "functions", "infra", "l2cache", "tests")
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert len(statements) > 40
    # the engine's own names are there at the package's, and loaded when they are asked for
    lazy = {"shared/features/__init__.py"}
    others = {file for file, body in statements.items() if not all(map(is_docstring, body)) or len(body) > 1}
    assert others == lazy


def is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_lock_fits_its_requirements(name: str) -> None:
    wanted = pins((ROOT / "functions" / name / "requirements.txt").read_text())
    fixed = pins(locked(ROOT / "functions" / name))
    assert wanted.items() <= fixed.items()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_package_of_a_lock_has_the_hashes_of_its_files(name: str) -> None:
    assert unhashed(locked(ROOT / "functions" / name)) == []


def test_a_package_without_a_hash_is_named() -> None:
    digest = "0" * 64
    text = f"numpy==2.0 \\\n    --hash=sha256:{digest} \\\n    --hash=sha256:{digest}\nFlask==3.0\n"
    assert pins(text) == {"numpy": "2.0", "flask": "3.0"}
    assert unhashed(text) == ["flask"]


def test_a_file_that_was_exchanged_is_not_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "")
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"thing==1.0 --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-index", "--dest", str(tmp_path / "out")]
    command += ["--find-links", str(tmp_path), "-r", str(requirements)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr


def test_a_lock_of_other_requirements_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / "functions" / "lookup" / "requirements.lock", tmp_path)
    (tmp_path / "requirements.txt").write_text("flask==1.0\n")
    with pytest.raises(StaleLockError, match="make lock"):
        locked(tmp_path)


@pytest.mark.parametrize("line", ["flask", "flask>=3", "-r other.txt", "git+https://host/x.git"])
def test_what_pins_no_version_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="pins no version"):
        pins(f"numpy==2.0\n{line}\n")


def test_names_of_pins_are_compared_as_pip_compares_them() -> None:
    assert pins("Cloud_Volume[extra]==1.0  # comment\n\n# nothing\nruamel.yaml==2") == {
        "cloud-volume": "1.0",
        "ruamel-yaml": "2",
    }


@given(st.permutations(["b.py", "a/x.py", "a/y.bin", "z"]), st.integers(0, 2**31))
def test_a_zip_depends_on_names_and_contents_alone(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], when: int
) -> None:
    packed = []
    for names in (sorted(order), order):
        folder = tmp_path_factory.mktemp("zip") / "function"
        for name in names:
            sources(folder, {name: f"content of {name}"})
            os.utime(folder / name, (when, when))
        sources(folder, {"__pycache__/b.cpython-311.pyc": str(when)})
        packed.append(make_zip(folder).read_bytes())
    assert packed[0] == packed[1]


@pytest.mark.parametrize("name", ["lookup", "ingest"])
def test_a_staged_folder_holds_what_is_needed_and_no_more(tmp_path: Path, name: str) -> None:
    folder = stage(name, tmp_path)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    modules = reachable_modules(ENTRIES[name], ROOT)
    needed = {path.as_posix() for path in (*modules, *page_files(modules, ROOT))}
    assert files == {"main.py", "requirements.txt", *needed}
    assert (folder / "requirements.txt").read_text() == locked(ROOT / "functions" / name)
    with zipfile.ZipFile(make_zip(folder)) as archive:
        assert set(archive.namelist()) == files


def test_what_an_earlier_packaging_left_is_gone(tmp_path: Path) -> None:
    sources(tmp_path, {"lookup/shared/left_over.py": "", "lookup/main.py": "old"})
    folder = stage("lookup", tmp_path)
    assert not (folder / "shared" / "left_over.py").exists()
    assert (folder / "main.py").read_bytes() == ENTRIES["lookup"].read_bytes()


def test_the_compiled_kernels_are_the_same_bytes_each_time_and_are_all_that_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    first, second = (stage("compute", tmp_path / place) for place in ("one", "two/deeper"))
    assert make_zip(first).read_bytes() == make_zip(second).read_bytes()

    kernels = sorted(first.rglob("*.nbc"))
    assert kernels
    program = (
        "import numpy as np\n"
        "from shared.features import chunk_features\n"
        "voxels = np.random.default_rng(0).integers(0, 9, (40, 30, 20)).astype(np.uint32)\n"
        "print(len(chunk_features(np.asfortranarray(voxels), (16, 16, 40))))\n"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(first), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "8"
    assert sorted(first.rglob("*.nbc")) == kernels, "something had to be compiled where the function runs"


GOOD = Machine("Linux", "x86_64", {"avx2": True, "sse3": True, "avx512f": False})


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (replace(GOOD, system="Darwin", architecture="arm64", features={}), "this is Darwin on arm64"),
        (replace(GOOD, system="Darwin"), "this is Darwin on x86_64"),
        (replace(GOOD, architecture="aarch64", features={}), "this is Linux on aarch64"),
        (replace(GOOD, features={"avx2": False, "bmi2": False, "sse3": True}), "this processor lacks avx2, bmi2"),
    ],
)
def test_a_machine_whose_kernels_no_instance_can_load_packages_nothing(
    tmp_path: Path, machine: Machine, reason: str
) -> None:
    with pytest.raises(UnfitMachineError, match="Linux on x86-64-v3") as refused:
        package(tmp_path / "dist", machine)
    assert reason in str(refused.value)
    assert "docker run" in str(refused.value)
    assert not (tmp_path / "dist").exists()
    GOOD.require_portable_code()


def test_make_package_says_so_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    done = CliRunner().invoke(main, ["--dist", str(tmp_path / "dist")])
    assert done.exit_code == 1
    assert "on arm64. Package on a machine like those" in done.output
    assert not (tmp_path / "dist").exists()
