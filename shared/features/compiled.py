"""`kernel`: a function compiled by numba, once for all machines, into a cache that can be shipped.

Two things differ from plain `numba.njit(cache=True)`:

- On x86-64 the code is made for the x86-64-v3 level (AVX2), not for the machine at hand, so that a cache made where a
  function is packaged serves where it runs.
- A cache entry is valid for the content of this package's sources, not for their file times, which packaging changes.

The cache lies in `NUMBA_CACHE_DIR` if that is set, else in `__pycache__` here if that holds one or can be written, else
in the user's cache folder. A cache that cannot be written is no error: every process then compiles for itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding as llvm
from numba.core import config as numba_config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.registry import cpu_target

X86_64_V3_FEATURES = (
    "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sahf,"
    "+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+x87,+xsave"
)
_config: Any = numba_config  # its settings are made at run time, so that a type checker does not see them
_njit: Any = numba.njit  # likewise the options that are not documented
# No kernel allocates, so none needs numba's reference counting; less code is compiled sooner.
_OPTIONS = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}


@cache
def sources_hash() -> str:
    """Hash of all sources of this package: a kernel's code includes that of the kernels it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    if _config.CACHE_DIR:
        return Path(_config.CACHE_DIR)
    beside = Path(__file__).parent / "__pycache__"
    if any(beside.glob("*.nbi")) or os.access(beside if beside.is_dir() else beside.parent, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "l2cache-kernels"


def machine_features() -> Mapping[str, bool]:
    """What the processor at hand can do, by LLVM's names; empty where LLVM cannot tell."""
    return dict(llvm.get_host_cpu_features())


@cache
def target_portable_code() -> None:
    """Let numba's code generator of this process make code for x86-64-v3, where the machine is one.

    The generator takes its target when it is first used; afterwards the settings are as they were.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or _config.CPU_NAME is not None:
        return
    host = machine_features()
    if not all(host.get(feature[1:], True) for feature in X86_64_V3_FEATURES.split(",")):
        return
    _config.CPU_NAME, _config.CPU_FEATURES = "x86-64-v3", X86_64_V3_FEATURES
    try:
        cpu_target.target_context.codegen()
    finally:
        _config.CPU_NAME, _config.CPU_FEATURES = None, None


class _ContentLocator(_CacheLocator):
    """Finds a kernel's cache, and tells by the content of the sources whether it is valid."""

    def __init__(self, line: int) -> None:
        self._line = line

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return sources_hash()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _ContentLocator:
        return cls(py_func.__code__.co_firstlineno)


class _Implementation(CompileResultCacheImpl):
    _locator_classes: Any = [_ContentLocator]  # noqa: RUF012  # numba's own attribute


class _ShippableCache(FunctionCache):
    """Cache whose keys name the machine code's real target; one that cannot be written stays as it is."""

    _impl_class = _Implementation

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return sig, codegen.magic_tuple()[0], codegen._tm_features

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on its first call, or load it from the cache; it runs without the interpreter lock."""
    target_portable_code()
    dispatcher = _njit(nogil=True, **_OPTIONS)(function)
    dispatcher._cache = _ShippableCache(function)  # type: ignore[no-untyped-call]
    return dispatcher


def part(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call: it becomes part of theirs."""
    target_portable_code()
    return _njit(**_OPTIONS, no_cpython_wrapper=True, forceinline=True)(function)
