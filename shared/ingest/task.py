"""The tasks of a run: an expand task or a leaf task for one block, as the queue carries them.

Tasks of each kind of run but ingests have paths of their own: a function of a version that does not know the kind
answers them with 404, so that the queue delivers them again, rather than to take them for an ingest's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from shared.documents.json_object import decode_object, text_field, whole_field
from shared.errors import BadRequestError
from shared.geometry.grid import Box
from shared.ingest.blocks import block_name, is_cut_into, parse_block
from shared.ingest.kind import RunKind
from shared.ingest.run import Run
from shared.tasks.protocol import Task

EXPAND_PATH = "/expand"
LEAF_PATH = "/chunks"

MOST_BYTES = 2**14
"""Of a task's body. Ours have less than a tenth; the tasks below a larger one might have more than a queue takes."""


@dataclass(frozen=True)
class BlockTask:
    """Work on one block of a run.

    Attributes:
      run: the run, whole, so that a worker need not look it up.
      block: the block; a leaf if it holds no more than `run.leaf_chunks` chunks, else to be expanded.
      part: how many of a leaf's chunks were closed when it handed the rest on. It only makes names: what is open is
        seen from the marks.
    """

    run: Run
    block: Box
    part: int = 0

    @property
    def is_leaf(self) -> bool:
        """Whether the block's chunks are to be computed, rather than the block to be cut further."""
        return self.block.volume <= self.run.leaf_chunks

    @property
    def name(self) -> str:
        """A function of run, start, generation, block and part, so that the task's twin has the same name.

        The start tells it from a task of the same ingest into a table that was dropped since.
        """
        start = f"{int(self.run.started_s * 1000)}-g{self.run.generation}"
        return f"{self.run.run_id}-{start}-{block_name(self.block)}-{self.part}"

    def to_task(self) -> Task:
        """The task for the queue."""
        body = {"run": self.run.document(), "block": block_name(self.block), "part": self.part}
        return Task(
            name=self.name,
            target="compute" if self.is_leaf else "ingest",
            path=path_of(LEAF_PATH if self.is_leaf else EXPAND_PATH, self.run.kind),
            body=json.dumps(body).encode(),
        )

    @classmethod
    def from_body(cls, body: bytes) -> BlockTask:
        """The task in a request's body.

        Raises:
          BadRequestError: if it is no task's body, or its block is none that the run is cut into.
        """
        document = decode_object(body, "a block task")
        if len(body) > MOST_BYTES:
            raise BadRequestError(f"a block task has at most {MOST_BYTES} bytes, not {len(body)}")
        if not isinstance(document.get("run"), dict):
            raise BadRequestError("a block task must have a run")
        run, block = Run.from_json(document["run"]), parse_block(text_field(document, "block"))
        part = whole_field(document, "part", 0, block.volume - 1)
        if run.block.intersection(block) != block:
            raise BadRequestError(f"block {block_name(block)} is no part of run {run.run_id}")
        if not is_cut_into(run.block, block, run.leaf_chunks, run.chunks_per_file):
            # Its marks would count chunks of leaves a second time, or for good as those of no leaf.
            raise BadRequestError(
                f"block {block_name(block)} is no leaf of run {run.run_id}, nor one of their branches"
            )
        return cls(run, block, part)


def path_of(path: str, kind: RunKind) -> str:
    """Where tasks of a kind of run go: `LEAF_PATH` or `EXPAND_PATH`, with the kind behind it if it is no ingest."""
    return path if kind is RunKind.INGEST else f"{path}/{kind.value}"
