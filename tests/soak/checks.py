"""What must hold of rows, and of what was given up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from l2cache.deadletters.letter import Letter
from tests.soak.world import Row

_SHOWN = 3


def row_complaints(found: Mapping[int, Row], right: Mapping[int, Row], required: Collection[int]) -> list[str]:
    """What is wrong about a table.

    Args:
      found: its rows.
      right: the right rows, of all nodes that there are.
      required: nodes whose row must be there.
    """
    lost = [l2_id for l2_id in required if l2_id not in found]
    surplus = [l2_id for l2_id in found if l2_id not in right]
    different = [l2_id for l2_id, row in found.items() if l2_id in right and row != right[l2_id]]
    complaints = []
    if lost:
        complaints.append(f"{len(lost)} rows are lost: {_some(lost)}")
    if surplus:
        complaints.append(f"{len(surplus)} rows too many: {_some(surplus)}")
    if different:
        shown = "; ".join(f"{l2_id}: {_difference(found[l2_id], right[l2_id])}" for l2_id in different[:_SHOWN])
        complaints.append(f"{len(different)} rows are different: {shown}")
    return complaints


def unexplained(letters: Iterable[Letter], explanations: Iterable[str]) -> list[Letter]:
    """Dead letters whose reason no fault explains.

    Args:
      letters: dead letters.
      explanations: patterns of reasons.
    """
    patterns = [re.compile(explanation) for explanation in explanations]
    return [letter for letter in letters if not any(pattern.search(letter.reason) for pattern in patterns)]


def _some(ids: list[int]) -> str:
    return ", ".join(map(str, sorted(ids)[:_SHOWN])) + (", ..." if len(ids) > _SHOWN else "")


def _difference(found: Row, right: Row) -> str:
    names = sorted(name for name in found.keys() | right.keys() if found.get(name) != right.get(name))
    return ", ".join(f"{name} {found.get(name, b'').hex()} not {right.get(name, b'').hex()}" for name in names)[:300]
