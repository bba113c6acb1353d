"""Fuzzing by mutation, without a guide but fast: python -m tests.fuzz.run --inputs 1000000

Good files of all formats are changed at random and read, in this process, under a limit on memory, with Numba's bounds
checks on: an index out of range is an error, not a corrupted heap. A crash of the process, a forbidden exception, too much
memory or time ends the run with code 1, and leaves the file that did it.
"""

from __future__ import annotations

import argparse
import faulthandler
import math
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

ROOM = 1 << 30  # bytes of address space beyond what the process has when it begins
TRACED = 200  # one in so many is read with the peak of its memory measured


def main() -> int:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.jobs > 1:
        return _in_parallel(arguments)
    return _run(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000, help="files to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--formats", nargs="*", help="only these")
    parser.add_argument(
        "--out", type=Path, default=Path("build/fuzz"), help="where a file that breaks something is left"
    )
    return parser.parse_args()


def _in_parallel(arguments: argparse.Namespace) -> int:
    share = -(-arguments.inputs // arguments.jobs)
    command = [sys.executable, "-m", "tests.fuzz.run", "--inputs", str(share), "--out", str(arguments.out)]
    if arguments.formats:
        command += ["--formats", *arguments.formats]
    seeds = range(arguments.seed, arguments.seed + arguments.jobs)
    running = [subprocess.Popen([*command, "--seed", str(seed)]) for seed in seeds]
    return max(abs(process.wait()) for process in running) and 1


def _run(arguments: argparse.Namespace) -> int:
    from tests.fuzz import law
    from tests.fuzz.mutate import mutated
    from tests.fuzz.seeds import quiet, seeds

    quiet()
    chosen = {n: s for n, s in seeds().items() if not arguments.formats or n in arguments.formats}
    everything = [data for group in chosen.values() for data in group]
    path = (
        arguments.out / f"input-{arguments.seed}"
    )  # what is being read; it stays behind if the process dies
    faulthandler.enable()
    for name, group in chosen.items():  # kernels are compiled before memory is limited
        for data in group:
            for way in range(12):
                path.write_bytes(data)
                law.read_all(path, name, Random(way), seconds=math.inf)
    _limit_memory()

    names, random = list(chosen), Random(arguments.seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    begin = time.perf_counter()
    for k in range(arguments.inputs):
        name = names[k % len(names)]
        path.write_bytes(mutated(random.choice(chosen[name]), everything, random))
        forced = name if random.random() < 0.5 else None  # else the file is recognised, rightly or wrongly
        read = law.within_memory if k % TRACED == 0 else law.read_all
        try:
            count = read(path, forced, random)
        except BaseException as error:
            kept = path.rename(arguments.out / f"broken-{arguments.seed}-{k}-{name}")
            print(
                f"{kept} (format={forced}) after {k} inputs: {type(error).__name__}: {error}", file=sys.stderr
            )
            raise
        if (k + 1) % 20_000 == 0:
            print(f"seed {arguments.seed}: {k + 1} inputs, {time.perf_counter() - begin:.0f} s", flush=True)
        outcomes[name, "error" if count < 0 else "events" if count else "none"] += 1
    path.unlink()
    _report(outcomes, arguments, time.perf_counter() - begin)
    return 0


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _report(outcomes: Counter[tuple[str, str]], arguments: argparse.Namespace, seconds: float) -> None:
    print(f"{'format':14}{'inputs':>9}{'errors':>9}{'events':>9}{'none':>9}")
    for name in dict.fromkeys(name for name, _ in outcomes):
        row = [outcomes[name, kind] for kind in ("error", "events", "none")]
        print(f"{name:14}{sum(row):9}" + "".join(f"{n:9}" for n in row))
    print(f"{arguments.inputs} inputs, seed {arguments.seed}, {seconds:.0f} s, nothing broken")


if __name__ == "__main__":
    os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
    os.environ.setdefault(
        "NUMBA_CACHE_DIR", str(Path("build/fuzz/numba").absolute())
    )  # not the unchecked kernels
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
