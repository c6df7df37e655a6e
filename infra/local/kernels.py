"""The feature engine's kernels: whether they are compiled on this machine, and compiling them."""

from __future__ import annotations

import subprocess
import sys


def are_compiled() -> bool:
    """Whether there is a compiled kernel of the present sources: all are compiled at once."""
    from shared.features.compiled import cache_folder, sources_hash

    # numba writes the stamp of the sources into each index as it is.
    stamp = sources_hash().encode()
    return any(stamp in index.read_bytes() for index in cache_folder().glob("*.nbi"))


def compile_all() -> None:
    """Compiles them in a process of its own."""
    subprocess.run([sys.executable, "-m", "infra.packaging.compile_kernels"], check=True)
