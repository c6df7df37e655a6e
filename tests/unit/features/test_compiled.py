"""The cache of compiled kernels: made once, shipped, loaded elsewhere. In processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FEATURES = """
import numpy as np
from shared.features.api import chunk_features
labels = np.random.default_rng(0).integers(0, 9, (40, 30, 20)).astype(np.uint32)
features = chunk_features(np.asfortranarray(labels), (16, 16, 40))
print(features.size_nm3.tolist(), features.rep_coord_nm.tolist())
"""
COMPILED = """
from shared.features import passes, scan, sums
kernels = (scan.scan_rows, sums.add_runs, sums.find_farthest, passes.measure_slabs)
print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels), end=" ")
print(sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels))
"""


def run(program: str, root: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "PYTHON"))}
    kept |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=kept, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a `shared` whose features package has its cache beside its sources."""
    root = tmp_path_factory.mktemp("packaged")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "shared", root / "shared", ignore=ignored)
    assert run(FEATURES + COMPILED, root).splitlines()[-1] == "4 0"
    assert list((root / "shared" / "features" / "__pycache__").glob("*.nbi"))
    return root


def moved(package: Path, to: Path) -> Path:
    """The package in another place with other file times."""
    shutil.copytree(package, to, copy_function=shutil.copyfile)
    for path in to.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return to


def test_a_copied_cache_with_other_file_times_serves(package: Path, tmp_path: Path) -> None:
    root = moved(package, tmp_path / "elsewhere")
    assert run(FEATURES + COMPILED, root).splitlines() == [run(FEATURES, package), "0 4"]


def test_a_cache_that_cannot_be_written_serves(package: Path, tmp_path: Path) -> None:
    root = moved(package, tmp_path / "elsewhere")
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert run(FEATURES + COMPILED, root).splitlines()[-1] == "0 4"
    finally:
        for path in [root, *root.rglob("*")]:
            path.chmod(0o755)


def test_changed_sources_are_compiled_anew(package: Path, tmp_path: Path) -> None:
    root = moved(package, tmp_path / "elsewhere")
    source = root / "shared" / "features" / "distance.py"
    source.write_text(source.read_text() + "# another version\n")
    assert run(FEATURES + COMPILED, root).splitlines()[-1] == "4 0"


def test_the_code_is_not_made_for_the_machine_at_hand(package: Path) -> None:
    program = """
import platform
from shared.features.compiled import X86_64_V3_FEATURES, target_portable_code
from numba.core.registry import cpu_target
from numba.core import config
target_portable_code()
if platform.machine() == "x86_64":
    assert cpu_target.target_context.codegen()._tm_features == X86_64_V3_FEATURES
    assert config.CPU_NAME is None
print("portable")
"""
    assert run(program, package) == "portable"


def test_importing_the_engine_loads_no_compiler(package: Path) -> None:
    program = "import sys, shared.features; print('numba' in sys.modules, 'edt' in sys.modules)"
    assert run(program, package) == "False False"
