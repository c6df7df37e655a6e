"""What is done once when a run has ended, by the leaf that came last.

No leaf knows that it is the last: each looks, when its marks are written, whether all chunks are closed. Of two that
end at once the one whose marks were written last sees both, perhaps both do; so what is done must be the same twice. A
leaf that dies before it is delivered again, and looks again.

A leaf looks at the marks of its own group of blocks first, which are few. Groups end late in a run and about together,
so that the others are read by few leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shared.errors import PermanentError
from shared.ingest.blocks import block_name, leaves
from shared.ingest.kind import RunKind
from shared.ingest.ledger import GROUPS, Ledger, group_of
from shared.ingest.manifest import ManifestWriter, log_unwritten
from shared.ingest.progress import block_progress

if TYPE_CHECKING:
    from shared.attributes import AttributeTable
    from shared.compute.computer import Source
    from shared.config.datasets import Datasets
    from shared.files.open import Folders
    from shared.geometry.grid import Box, GraphGeometry
    from shared.ingest.run import Run
    from shared.store.protocol import CacheStore
    from shared.types import Triple

MOST_LEAVES = 2**16
"""Of a larger run, which no plan makes, only a request for the status does what is left to be done."""


class HasManifests(Protocol):
    """What the manifest of an export needs of whoever computes chunks."""

    @property
    def attributes(self) -> AttributeTable:
        """What rows have."""

    @property
    def datasets(self) -> Datasets:
        """What is configured."""

    @property
    def folders(self) -> Folders:
        """Opens folders."""

    def source(self, graph_id: str) -> Source:
        """A dataset's graph and its geometry."""


def close_if_ended(computer: HasManifests, store: CacheStore, run: Run, block: Box) -> None:
    """Does what is to be done when a run has ended, if it has; called when a leaf's marks are written.

    Args:
      computer: has folders and graphs.
      store: has the marks.
      run: the run.
      block: of the leaf.

    Raises:
      TransientError: if another try may succeed; the leaf is to be delivered again.
    """
    close = CLOSING.get(run.kind)
    if close is not None and has_ended(Ledger.of_run(store, run), run, block):
        close(computer, store, run)


def has_ended(ledger: Ledger, run: Run, block: Box) -> bool:
    """Whether every chunk of a run is closed, as seen from one of its leaves: done, or failed for good."""
    if run.block.volume > MOST_LEAVES * run.leaf_chunks:
        return False
    volumes, own = _volumes(run.block, run.leaf_chunks, run.chunks_per_file), group_of(block_name(block))
    groups = ((own + step) % GROUPS for step in range(GROUPS))
    return all(_is_closed(ledger, run, group, volumes[group]) for group in groups if group in volumes)


def _is_closed(ledger: Ledger, run: Run, group: int, volumes: Mapping[str, int]) -> bool:
    pieces = ledger.pieces(run, group)
    if not volumes.keys() <= pieces.keys():
        return False
    return all(block_progress(pieces[name], run.retry_from).closed >= volume for name, volume in volumes.items())


@lru_cache(maxsize=2)
def _volumes(block: Box, leaf_chunks: int, chunks_per_file: Triple) -> Mapping[int, Mapping[str, int]]:
    """The chunks of each leaf below a block, by group and name."""
    groups: dict[int, dict[str, int]] = {}
    for leaf in leaves(block, leaf_chunks, chunks_per_file):
        name = block_name(leaf)
        groups.setdefault(group_of(name), {})[name] = leaf.volume
    return groups


def _put_manifest(computer: HasManifests, store: CacheStore, run: Run) -> None:
    def geometry(_: object) -> GraphGeometry:
        return computer.source(run.graph_id).geometry

    writer = ManifestWriter(store, computer.datasets, geometry, computer.attributes, computer.folders)
    try:
        writer.put(run)
    except PermanentError as error:
        log_unwritten(run, error)


Closing: TypeAlias = "Callable[[HasManifests, CacheStore, Run], None]"

CLOSING: Mapping[RunKind, Closing] = {RunKind.EXPORT: _put_manifest}
"""What is done when a run of a kind has ended; nothing for the others."""
