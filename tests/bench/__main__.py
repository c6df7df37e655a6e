"""All benchmarks, or those named: `python -m tests.bench [features lookup ...] [--record]`.

Each runs in a process of its own. With `--record` they keep what they measure for docs/performance.md.
"""

import subprocess
import sys
from pathlib import Path

from infra.measurements.record import OPTION


def main(arguments: list[str], folder: Path = Path(__file__).parent) -> int:
    """Runs benchmarks one after the other, all of them even if some fail.

    Args:
      arguments: their names, none means all; and `--record`.
      folder: holds them, as files `bench_NAME.py`.

    Returns:
      The exit status: 0 if all succeeded, 1 if one failed, 2 if there is none of a name.
    """
    known = {path.stem.removeprefix("bench_"): path for path in sorted(folder.glob("bench_*.py"))}
    chosen = [name for name in arguments if name != OPTION]
    options = [OPTION] if OPTION in arguments else []
    for name in chosen:
        if name not in known:
            print(f"no benchmark {name!r}; there are {', '.join(known)}", file=sys.stderr)
            return 2
    failed = []
    for name in chosen or known:
        print(f"\n=== {name}", flush=True)
        module = f"{folder.parent.name}.{folder.name}.{known[name].stem}"
        if subprocess.run([sys.executable, "-m", module, *options], cwd=folder.parents[1], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
