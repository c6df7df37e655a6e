"""The machine that packages: whether the kernels that it compiles serve where the functions run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from shared.features.compiled import X86_64_V3_FEATURES, machine_features

_ADVICE = (
    "Package on a machine like those, in Cloud Shell for example, or in a container of that kind: docker run --rm "
    '--platform linux/amd64 -v "$PWD:/src" -w /src python:3.11 make package VENV=/tmp/venv'
)


class UnfitMachineError(RuntimeError):
    """Kernels compiled on this machine could not be loaded by any instance; the message says what to do."""


@dataclass(frozen=True)
class Machine:
    """A machine that code is compiled on.

    Attributes:
      system: as Python names it, `Linux`.
      architecture: as Python names it, `x86_64`.
      features: what the processor can do, by LLVM's names; what is not named is taken to be there.
    """

    system: str
    architecture: str
    features: Mapping[str, bool]

    @classmethod
    def here(cls) -> Machine:
        """The machine that this runs on."""
        return cls(platform.system(), platform.machine(), machine_features())

    def require_portable_code(self) -> None:
        """Makes sure that kernels compiled here run on all instances of functions: Linux on x86-64-v3.

        Other machines would compile for themselves, and each new instance would, without a word, compile again for 8 s.

        Raises:
          UnfitMachineError: if they do not.
        """
        wrong = self._what_is_wrong()
        if wrong:
            raise UnfitMachineError(
                f"The kernels must be compiled on Linux on x86-64-v3 (AVX2), as functions run on; {wrong}. {_ADVICE}"
            )

    def _what_is_wrong(self) -> str:
        if self.system != "Linux" or self.architecture.lower() not in ("x86_64", "amd64"):
            return f"this is {self.system} on {self.architecture}"
        needed = [feature.removeprefix("+") for feature in X86_64_V3_FEATURES.split(",")]
        missing = [name for name in needed if not self.features.get(name, True)]
        return f"this processor lacks {', '.join(missing)}" if missing else ""
