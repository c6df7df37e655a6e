"""Leaves of exports and imports: the file of a block, written or read whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from shared.errors import BrokenExportError, L2CacheError, StorageUnavailableError
from shared.ingest.blocks import block_name
from shared.ingest.blocks import chunks as chunks_of
from shared.ingest.export import (
    AS_STORED,
    BYTES,
    FILES,
    MANIFEST,
    MISSING,
    OTHERS,
    ExportedFile,
    ExportOptions,
    ImportOptions,
    Manifest,
    file_name,
)
from shared.ingest.leaf.pipeline import ChunkResult
from shared.telemetry.log import StepTimer
from shared.types import Triple

if TYPE_CHECKING:
    from datetime import datetime

    from shared.compute.export import Exported
    from shared.files.open import Folders
    from shared.files.protocol import Folder
    from shared.ingest.task import BlockTask
    from shared.store.rows import StoredRows


class RowExporter(Protocol):
    """Makes files of rows, and rows of files."""

    def export(
        self,
        graph_id: str,
        chunks: Iterable[Triple],
        moment: datetime | None,
        attributes: Sequence[str] | None,
        batch_chunks: int,
        steps: StepTimer,
    ) -> Exported:
        """The rows of chunks as a file."""

    def standing(self, own: Exported, content: bytes) -> Exported:
        """What there is to tell of a file in whose place another one stood already."""

    def read(self, graph_id: str, content: bytes, steps: StepTimer) -> Iterator[StoredRows]:
        """The rows in a file, in parts."""

    def write(self, graph_id: str, rows: StoredRows, steps: StepTimer) -> None:
        """Writes rows as they are."""


class HasExporter(Protocol):
    """What exports and imports need of whoever computes chunks."""

    @property
    def exporter(self) -> RowExporter:
        """Makes files of rows, and rows of files."""

    @property
    def folders(self) -> Folders:
        """Opens folders."""


def export_block(
    computer: HasExporter, task: BlockTask, chunks: Iterable[Triple], steps: StepTimer
) -> list[ChunkResult]:
    """Writes the file of a block, unless it stands already: then tells of the one that stands.

    A task may be delivered twice at once, and rows come while it is done, so that each delivery makes another file. The
    first one put stays for ever, whichever delivery ends last or dies, so that all that is told of it is true.

    Args:
      computer: reads rows.
      task: the leaf task.
      chunks: the chunks of its block, as long as the run goes on.
      steps: collects the milliseconds of all steps.

    Returns:
      A result per chunk, the first with the counts of all; none if the run does not go on.

    Raises:
      L2CacheError: what keeps the file from being written.
    """
    run, options, name = task.run, ExportOptions.of(task.run), file_name(task.block)
    folder = computer.folders.open(options.destination)
    attributes = options.attributes or None
    made = computer.exporter.export(run.graph_id, chunks, options.moment(run), attributes, run.batch_chunks, steps)
    if made.chunks < task.block.volume:
        return []
    with steps.step("put"):
        if not folder.create(name, made.content):
            made = _standing(computer.exporter, folder, name, made)
    file = ExportedFile(name, made.rows, len(made.content), made.digest)
    counts = {FILES: 1, MISSING: made.missing, AS_STORED: made.as_stored, BYTES: file.bytes}
    counts |= {OTHERS + name: count for name, count in made.others.items()}
    return _results(task, made.rows, {name: count for name, count in counts.items() if count}, (file.note(),))


def _standing(exporter: RowExporter, folder: Folder, name: str, own: Exported) -> Exported:
    """The file that stands in the place of one that was to be written.

    Raises:
      BrokenExportError: if it is of something else.
      StorageUnavailableError: if somebody took it away just now.
    """
    content = folder.read(name)
    if content is None:
        raise StorageUnavailableError(f"the file {name} was there and is gone")
    try:
        return exporter.standing(own, content)
    except BrokenExportError as error:
        raise BrokenExportError(f"the file {name} in the folder is of something else than this export") from error


def import_block(
    computer: HasExporter, task: BlockTask, chunks: Iterable[Triple], steps: StepTimer
) -> list[ChunkResult]:
    """Writes the rows in the file of a block.

    Args:
      computer: writes rows.
      task: the leaf task.
      chunks: the chunks of its block, as long as the run goes on.
      steps: collects the milliseconds of all steps.

    Returns:
      As `export_block`.

    Raises:
      BrokenExportError: if there is no such file, or it is another than the manifest tells of.
      L2CacheError: what keeps the rows from being written.
    """
    run, options = task.run, ImportOptions.of(task.run)
    folder = computer.folders.open(options.source)
    manifest = _manifest(_Source(folder, options.manifest))
    name = file_name(task.block)
    file = manifest.files.get(name)
    if file is None:
        reason = manifest.failed.get(block_name(task.block), "it has no file of it")
        raise BrokenExportError(f"the export lacks block {block_name(task.block)}: {reason}")
    with steps.step("get"):
        content = folder.read(name)
    if content is None:
        raise BrokenExportError(f"the file {name} of the export is missing")
    if sha256(content).hexdigest() != file.sha256:
        raise BrokenExportError(f"the file {name} of the export is not the one that the manifest tells of")
    # Whoever gives out chunks looks from time to time whether the run goes on.
    going, given = iter(chunks), 0
    for rows in computer.exporter.read(run.graph_id, content, steps):
        given += next(going, None) is not None
        computer.exporter.write(run.graph_id, rows, steps)
    if given + sum(1 for _ in going) < task.block.volume:
        return []
    return _results(task, file.rows, {FILES: 1, BYTES: file.bytes}, ())


@dataclass(frozen=True)
class _Source:
    folder: Folder
    digest: str


@lru_cache(maxsize=4)
def _manifest(source: _Source) -> Manifest:
    """The manifest that an import began with.

    Raises:
      BrokenExportError: if it is not there any more, or another.
    """
    raw = source.folder.read(MANIFEST)
    if raw is None or sha256(raw).hexdigest() != source.digest:
        raise BrokenExportError("the manifest of the export is gone, or has changed since the import began")
    return Manifest.from_json(raw)


def _results(task: BlockTask, rows: int, counts: dict[str, int], notes: tuple[str, ...]) -> list[ChunkResult]:
    first, *others = chunks_of(task.block)
    return [ChunkResult(first, rows, counts=counts, notes=notes), *map(ChunkResult, others)]


def failed_results(task: BlockTask, error: L2CacheError) -> list[ChunkResult]:
    """The results of a block whose file cannot be written or read."""
    return [ChunkResult(chunk, error=error) for chunk in chunks_of(task.block)]
