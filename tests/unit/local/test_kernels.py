"""Whether the demo has to say that it compiles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shared.features.compiled import sources_hash

ROOT = Path(__file__).resolve().parents[3]


def are_compiled(folder: Path) -> bool:
    code = "from infra.local import kernels; print(kernels.are_compiled())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    return {"True": True, "False": False}[done.stdout.strip()]


def test_kernels_are_compiled_where_there_is_one_of_the_present_sources(tmp_path: Path) -> None:
    assert not are_compiled(tmp_path)
    (tmp_path / "passes.kernel-1.py311.nbi").write_bytes(b"of other sources: " + b"0" * 64)
    assert not are_compiled(tmp_path)
    code = "from shared.features.compiled import kernel; import m; m.one(1)"
    module = "from shared.features.compiled import kernel\n@kernel\ndef one(x):\n    return x + 1\n"
    (tmp_path / "m.py").write_text(module)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
    assert any(sources_hash().encode() in index.read_bytes() for index in tmp_path.glob("*.nbi"))
    assert are_compiled(tmp_path)
