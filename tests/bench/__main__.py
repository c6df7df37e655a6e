"""All benchmarks, or those named: `python -m tests.bench [features lookup ...]`. Each runs in a process of its own."""

import subprocess
import sys
from pathlib import Path


def main(chosen: list[str]) -> int:
    """Runs benchmarks one after the other; the exit status is that of the first that failed, else 0."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    for name in chosen:
        if name not in known:
            print(f"no benchmark {name!r}; there are {', '.join(known)}", file=sys.stderr)
            return 2
    failed = 0
    for name in chosen or known:
        print(f"\n=== {name}", flush=True)
        failed = failed or subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}"], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
