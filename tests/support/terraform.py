"""The Terraform code: what it takes to check and plan it, and reading plans."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "infra" / "terraform"
CHECK = ROOT.parent / "shared" / "terraform" / "tf-check"
EXAMPLES = sorted(path.name for path in (CODE / "examples").glob("*.tfvars"))

needs_check = pytest.mark.skipif(
    not CHECK.exists() or shutil.which("terraform") is None,
    reason="terraform and ../shared/terraform/tf-check are needed",
)


@cache
def run_check(dist: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Checks and plans the code, with variables or files of variables given as arguments; the same ones once only."""
    datasets = CODE / "examples" / "datasets.yaml"
    fixed = ["--var", f"dist={dist}", "--var", f"datasets_file={datasets}"]
    return subprocess.run(
        [str(CHECK), str(CODE), "--plan", *fixed, *arguments], capture_output=True, text=True, check=False
    )


def plan_with(dist: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    return run_check(dist, "--var", "project=a-project", *(part for value in variables for part in ("--var", value)))


def resources(plan: str, kind: str) -> dict[str, str]:
    """The planned resources of a kind: address -> text."""
    pattern = rf"# ({kind}\.[^\n]+) will be created\n(.*?)\n    }}\n"
    return {match[1]: match[2] for match in re.finditer(pattern, plan, re.DOTALL)}


def values(text: str, name: str) -> list[str]:
    """The values of a field in a resource's text."""
    return re.findall(rf"\b{name}\s+= \"?([^\"\n]+)", text)
