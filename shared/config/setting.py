"""What a setting says of itself, beside its type and its default: where it is read, its limits, its meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError


@dataclass(frozen=True)
class Setting:
    """How a field of `Settings` is read from the environment; it stands in the field's annotation.

    Attributes:
      variable: the environment variable.
      meaning: for the documentation.
      least: smallest number allowed.
      choices: the only texts allowed, in upper case; those of the environment may be in any.
      strip: characters that are cut off both ends of a text.
      unset: what no value means, for the documentation; empty if the default says it.
    """

    variable: str
    meaning: str
    least: float = -math.inf
    choices: tuple[str, ...] = ()
    strip: str = ""
    unset: str = ""

    def read(self, environment: Mapping[str, str], kind: type, default: Any) -> Any:
        """The value in the environment, or the default if there is none or nothing but spaces.

        Args:
          environment: the variables.
          kind: `int`, `float`, `str` or `Path`.
          default: the value that counts as none was given; `...` if one must be.

        Raises:
          ConfigurationError: naming the variable, if it is missing or wrong.
        """
        raw = environment.get(self.variable, "").strip()
        if raw:
            return _READERS[kind](self, raw)
        if default is ...:
            raise ConfigurationError(f"{self.variable} must be set")
        return default

    def _text(self, raw: str) -> str:
        if self.choices and raw.upper() not in self.choices:
            raise ConfigurationError(f"{self.variable} must be one of {', '.join(self.choices)}, not {raw.upper()!r}")
        return raw.upper() if self.choices else raw.strip(self.strip or None)

    def _number(self, raw: str, convert: Callable[[str], float], kind: str) -> float:
        try:
            value = convert(raw)
        except ValueError as error:
            raise ConfigurationError(f"{self.variable} must be {kind}, not {raw!r}") from error
        if not self.least <= value < math.inf:  # nan fails here too
            raise ConfigurationError(f"{self.variable} must be at least {self.least} and finite, not {raw!r}")
        return value


_READERS: dict[type, Callable[[Setting, str], Any]] = {
    str: Setting._text,
    Path: lambda _, raw: Path(raw),
    int: lambda setting, raw: setting._number(raw, int, "a whole number"),
    float: lambda setting, raw: setting._number(raw, float, "a number"),
}
