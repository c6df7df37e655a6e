"""Messages and tasks that were given up: listing them with their reasons, and delivering them again.

`python -m infra.deadletters --help`
"""

from infra.deadletters.letter import Letter, LetterBox

__all__ = ["Letter", "LetterBox"]
