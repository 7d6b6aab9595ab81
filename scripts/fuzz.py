"""Random mutations of valid problems through what `fem-diffusion check` does; `scripts/fuzz` runs it.   fuzz.py [COUNT] [--check EVERY] [--seed S]

Each must give a problem or a message that fits on a screen, in time. All are read; of those that are legal every EVERY-th is also put on its
mesh and checked, which compiles its equations. Prints the traceback of the first mutant of every kind of failure, and how many ended how; exits
with 1 where one failed.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from mutations import Hang, Mutant, checked, is_small, make_seed_folder, mutants, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--check", type=int, default=20, metavar="EVERY")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    failures: dict[str, tuple[Mutant, str]] = {}
    messages: set[str] = set()
    slowest, started = 0.0, time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        path = make_seed_folder(Path(folder))

        @seed(options.seed)
        @settings(
            max_examples=options.count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(mutants())
        def survives(mutant: Mutant) -> None:
            nonlocal slowest
            before = time.perf_counter()
            try:
                problem = read(mutant, path)
                slowest = max(slowest, time.perf_counter() - before)
                if isinstance(problem, str):
                    outcomes["refused by reading"] += 1
                    messages.add(problem)
                    return
                outcomes["legal"] += 1
                if outcomes["legal"] % options.check == 0 and is_small(problem):
                    message = checked(problem)
                    outcomes["checked, legal" if message is None else "checked, refused"] += 1
            except (Exception, Hang) as error:
                at = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{type(error).__name__} at {at.filename}:{at.lineno}: {str(error)[:60]}"
                outcomes["FAILED"] += 1
                failures.setdefault(kind, (mutant, traceback.format_exc()))

        survives()
    for kind, (mutant, trace) in failures.items():
        print(f"=== {kind}\n{mutant.text[:3000]}\nchanges: {str(mutant.changes)[:500]}\n{trace[-3000:]}\n")
    total = sum(outcomes[how] for how in ("refused by reading", "legal", "FAILED"))
    print(f"{total} mutants in {time.perf_counter() - started:.0f} s, slowest reading {slowest:.2f} s, {len(messages)} different messages")
    for how, count in sorted(outcomes.items()):
        print(f"  {how:<20}{count:>8}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
