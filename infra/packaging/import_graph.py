"""Which of our own modules a program can reach: read from the sources, nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def reachable_modules(entry: Path, root: Path, package: str = "shared") -> list[Path]:
    """The files of `package` that `entry` imports, directly or through others, now or later.

    Imports inside functions count, since they are made at some time; those under `if TYPE_CHECKING:` do not, since they
    never are. With a module come the `__init__.py` of its packages, and what these import.

    Args:
      entry: the program's file.
      root: the folder that holds the package.
      package: the package's name.

    Returns:
      Files, relative to `root`, in order.

    Raises:
      ModuleNotFoundError: naming the module of the package that is imported and is not there.
    """
    found: set[Path] = set()
    waiting = [entry]
    while waiting:
        source = waiting.pop()
        for name in _imported(source, root, package):
            fresh = set(_files_of(name, root)) - found
            found |= fresh
            waiting += [root / file for file in fresh]
    return sorted(found)


def _imported(source: Path, root: Path, package: str) -> Iterator[str]:
    """Names of modules of the package that a file imports; of `from a import b` both `a` and, if it is one, `a.b`."""
    for node in _executed(ast.parse(source.read_bytes(), str(source))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [node.module, *(name for name in inner if _is_module(name, root))]
        else:
            continue
        yield from (name for name in names if name == package or name.startswith(f"{package}."))


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only type checkers see."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _files_of(name: str, root: Path) -> Iterator[Path]:
    """The module's file and the `__init__.py` of the packages it is in."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        yield _file(".".join(parts[:count]), root)
    yield _file(name, root)


def _is_module(name: str, root: Path) -> bool:
    return any((root / candidate).is_file() for candidate in _candidates(name))


def _file(name: str, root: Path) -> Path:
    for candidate in _candidates(name):
        if (root / candidate).is_file():
            return candidate
    raise ModuleNotFoundError(f"there is no module {name}", name=name)


def _candidates(name: str) -> tuple[Path, Path]:
    path = Path(*name.split("."))
    return path.with_suffix(".py"), path / "__init__.py"
