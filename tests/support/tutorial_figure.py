"""Makes the tutorial's picture by its code: `python -m tests.support.tutorial_figure docs/images/neuron.svg`."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from infra.standin.world.parameters import WorldParameters
from tests.support.documentation import blocks, pages
from tests.support.documentation_code import reader_of_made_brain

FIGURE = "neuron.svg"


def main(target: Path) -> None:
    """Runs the tutorial on the demo's brain and keeps its picture."""
    with_deployment, _, *steps = blocks(pages()["docs/tutorial.md"], "python")
    with tempfile.TemporaryDirectory() as folder, reader_of_made_brain(Path(folder), WorldParameters()) as reader:
        print(reader.run([with_deployment, *steps]))
        shutil.copy(reader.home / FIGURE, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="where to put it, an SVG file")
    main(parser.parse_args().target)
