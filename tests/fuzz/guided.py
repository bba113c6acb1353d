"""Fuzzing guided by coverage, one target per format: python -m tests.fuzz.guided --seconds 60 [--formats evt3 es ...]

Compiled loops show no coverage, so here Numba is switched off and the loops are instrumented Python like the rest of the
readers: slower per input, but every branch of a decoder counts as one, and NumPy checks every index. What this finds and
keeps under build/fuzz/corpus-FORMAT is where the next run begins. Needs atheris (`make fuzz` installs it).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

OUT = Path("build/fuzz")
LONGEST = 4096  # bytes of an input


def one(name: str, seconds: int) -> None:
    """Run the target of one format; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["snnkit.datasets.files", "snnkit.kernels.events"]):
        from snnkit.datasets.files.formats import named
        from tests.fuzz import law
        from tests.fuzz.seeds import quiet, seeds

        named(name)
        quiet()
        corpus = OUT / f"corpus-{name}"
        corpus.mkdir(parents=True, exist_ok=True)
        for k, data in enumerate(seeds()[name]):
            (corpus / f"seed-{k}").write_bytes(data)
        path = OUT / f"guided-{name}"

        def target(data: bytes) -> None:
            path.write_bytes(data)
            law.read_all(path, name, Random(sum(data)), seconds=60)

        options = [
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            "-print_final_stats=1",
            "-rss_limit_mb=2048",
        ]
        atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={OUT}/broken-{name}-", *options], target)
        atheris.Fuzz()


def every(names: list[str], seconds: int) -> int:
    """One process per format, one after the other; 1 if one of them found something."""
    from tests.fuzz.seeds import seeds

    wrong, total = 0, 0
    for name in names or list(seeds()):
        command = [sys.executable, "-m", "tests.fuzz.guided", "--only", name, "--seconds", str(seconds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        count = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        total += int(count[1]) if count else 0
        found = f"{count[1] if count else 'no'} inputs, {covered[-1] if covered else 'no'} places covered"
        print(f"{name:14} {found}, {'nothing broken' if not done.returncode else 'BROKEN'}", flush=True)
        if done.returncode:
            print(done.stderr[-3000:], file=sys.stderr)
            wrong = 1
    print(f"{total} inputs")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each format")
    parser.add_argument("--formats", nargs="*", default=[])
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.only:
        one(arguments.only, arguments.seconds)
        return 0
    return every(arguments.formats, arguments.seconds)


if __name__ == "__main__":
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
