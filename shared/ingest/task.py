"""The tasks of an ingest: an expand task or a leaf task for one block, as the queue carries them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from shared.errors import BadRequestError
from shared.geometry import Box
from shared.ingest.blocks import block_name, parse_block
from shared.ingest.run import Run
from shared.tasks import Task

EXPAND_PATH = "/expand"
LEAF_PATH = "/chunks"


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

    def to_task(self) -> Task:
        """The task for the queue. Its name is a function of run, generation, block and part, so that its twin is the
        same task; it starts with a hash, because sequential names slow a queue down.
        """
        name = f"{self.run.run_id}-g{self.run.generation}-{block_name(self.block)}-{self.part}"
        body = {"run": self.run.document(), "block": block_name(self.block), "part": self.part}
        return Task(
            name=f"{sha256(name.encode()).hexdigest()[:8]}-{name}",
            target="compute" if self.is_leaf else "ingest",
            path=LEAF_PATH if self.is_leaf else EXPAND_PATH,
            body=json.dumps(body).encode(),
        )

    @classmethod
    def from_body(cls, body: bytes) -> BlockTask:
        """The task in a request's body.

        Raises:
          BadRequestError: if it is no task's body, or its block lies outside the run's.
        """
        try:
            document = json.loads(body)
            run, block, part = Run.from_json(document["run"]), parse_block(document["block"]), int(document["part"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequestError(f"not a block task: {error!r}") from error
        if run.block.intersection(block) != block or not 0 <= part < block.volume:
            raise BadRequestError(f"block {block_name(block)}, part {part}, is no part of run {run.run_id}")
        return cls(run, block, part)
