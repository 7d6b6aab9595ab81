"""CPU seconds, iterations and memory of set problems, each measurement in a process of its own; scripts/benchmark runs it.

    scripts/benchmark w1-128 w2-32 w3-classic-256 w3-steric-256      the workloads of scripts/workloads.py, here with fixed steps
    scripts/benchmark --rival --repeats 3 w1-128                      in turn with DOLFINx's official demonstration style (MUMPS), and ratios
    scripts/benchmark --rival --errors pfhub-100                      PFHub 1b to t = 1000 with steps of each code's choice
    scripts/benchmark --adaptive w1-128 problems/blocking_cell.toml   error-controlled steps, the problems of a user
    scripts/benchmark -n 2 --json out.json w1-128 -- -ksp_monitor     two ranks, numbers as JSON, options for PETSc

CPU seconds are user + system of the time loop on all ranks: machines are shared, wall times mean little. Without output, and without the time in
which forms are compiled or fetched from their cache (`forms`). `set-up` is that of preconditioners, factors included: PETSc's share of wall time.
Memory is the largest resident set of the whole process, summed over ranks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from workloads import CELLS, STEPS, Job, distance

SCRIPTS = Path(__file__).resolve().parent
PROGRAMS = {"fem_diffusion": "measure.py", "rival": "rival.py"}
FINER = 16  # by how much the steps of a reference are shorter
REFERENCE_TOLERANCE = 1e-6  # where they are ours and error-controlled
CHECKED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # times at which energies are compared, where steps are free
WORKLOADS = ("w1", "w2", "w3-classic", "w3-steric", "pfhub")


def main() -> None:
    arguments = parsed(sys.argv[1:])
    jobs = [of_word(word, arguments) for word in arguments.problem]
    codes = ["fem_diffusion", *(["rival"] if arguments.rival else [])]
    rows = []
    for job in jobs:
        row = []
        for repeat in range(arguments.repeats):
            for code in codes[:1] if job.is_file else codes:
                try:
                    result = run(code, job, arguments.n, arguments.errors and repeat == 0)
                except Failed as failure:
                    raise SystemExit(f"benchmark: {failure}") from None
                scale(result, job)
                row.append(result)
                print(f"{label(result)}: {result['cpu']:.3g} CPU s", file=sys.stderr, flush=True)
        rows += row
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(rows, indent=1))
    print(table(rows))
    print("\n".join(notes(rows)))


def parsed(given: Sequence[str]) -> argparse.Namespace:
    petsc: list[str] = []
    if "--" in given:
        given, petsc = given[: given.index("--")], list(given[given.index("--") + 1 :])
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", nargs="+", help=f"{', '.join(WORKLOADS)} with -CELLS, or the path of a TOML file")
    parser.add_argument("-n", type=int, default=1, metavar="RANKS")
    parser.add_argument("--steps", type=int, default=0, help="run only so many of the fixed steps; CPU seconds are scaled to all of them")
    parser.add_argument("--scheme", default="", help="of ours, in place of the problem's or the program's default")
    parser.add_argument("--adaptive", action="store_true", help="ours with error-controlled steps at the default tolerance")
    parser.add_argument("--tolerance", type=float, default=0.0, help="error-controlled steps of ours at this tolerance")
    parser.add_argument("--end", type=float, default=0.0, help="of pfhub and TOML files, in the problem's units")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change an entry of our problem, as in fem-diffusion run"
    )
    parser.add_argument(
        "--rival", action="store_true", help="also DOLFINx's official demonstration style, in turn, and ratios; not for TOML files"
    )
    parser.add_argument("--rival-target", type=int, default=5, help="pfhub: Newton iterations per step that its steps are chosen for")
    parser.add_argument("--rival-longest", type=float, default=0.0, help="pfhub: its longest step, for accuracy")
    parser.add_argument(
        "--errors", action="store_true", help=f"errors in time, against the same code with steps {FINER} times shorter (kept)"
    )
    parser.add_argument("--repeats", type=int, default=1, help="medians count")
    parser.add_argument("--json", help="a file for all numbers")
    arguments = parser.parse_args(given)
    arguments.petsc = " ".join(petsc)
    if arguments.steps and (arguments.adaptive or arguments.tolerance):
        parser.error("--steps is for fixed steps, not for error-controlled ones: leave it out")
    return arguments


def of_word(word: str, arguments: argparse.Namespace) -> Job:
    """The measurement that a word of the command line names."""
    tolerance = arguments.tolerance or (0.0 if arguments.adaptive else None)
    changes = dict(pair.split("=", 1) for pair in arguments.set)
    job = Job(
        problem=word,
        steps=arguments.steps,
        scheme=arguments.scheme,
        tolerance=tolerance,
        end=arguments.end,
        changes=changes,
        options=arguments.petsc,
        target=arguments.rival_target,
        longest=arguments.rival_longest,
    )
    if job.is_file:
        if not Path(word).is_file():
            raise SystemExit(f"benchmark: there is no file {word}")
        return replace(job, problem=str(Path(word).resolve()))
    *name, last = word.split("-")
    problem, cells = ("-".join(name), int(last)) if last.isdigit() else (word, 0)
    if problem not in WORKLOADS:
        raise SystemExit(
            f"benchmark: there is no workload '{word}'; legal: {', '.join(WORKLOADS)}, with -CELLS, or the path of a TOML file"
        )
    return replace(job, problem=problem, cells=cells or CELLS[job.family])


def run(code: str, job: Job, ranks: int = 1, with_error: bool = False) -> dict[str, Any]:
    """Measure a job in a process of its own; with the error against a fine reference in time if asked for."""
    with tempfile.TemporaryDirectory() as folder:
        state = str(Path(folder) / "state.npz") if with_error else ""
        result = process(code, replace(job, state=state), ranks, Path(folder) / "result.json")
        if with_error:
            fine = reference(code, job)
            result["error"] = distance(state, fine["state"])
            if not job.is_fixed:
                result["error_of_energy"] = energy_error(result["history"], fine["history"])
    return result


def reference(code: str, job: Job) -> dict[str, Any]:
    """The result with much shorter steps, by the same code on the same mesh; `state` is where it stays."""
    fine = replace(job, refine=FINER, tolerance=None, scheme="", options="", target=0, longest=0.0)
    if not job.is_fixed and code == "fem_diffusion":
        fine = replace(fine, tolerance=REFERENCE_TOLERANCE)
    key = hashlib.sha256(json.dumps([code, asdict(fine)]).encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"fem_diffusion_benchmark_{os.getuid()}"
    state, numbers = kept / f"{key}.npz", kept / f"{key}.json"
    if not numbers.exists():
        kept.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept) as folder:
            partial = Path(folder) / "state.npz"
            found = process(code, replace(fine, state=str(partial)), 1, Path(folder) / "result.json")
            partial.rename(state)
            numbers.write_text(json.dumps(found | {"state": str(state)}))
    result: dict[str, Any] = json.loads(numbers.read_text())
    return result


def energy_error(history: Sequence[Sequence[float]], fine: Sequence[Sequence[float]]) -> float:
    """The largest relative difference of F at the times of CHECKED that both reach."""
    times = [t for t in CHECKED if t <= history[-1][0]] or [history[-1][0]]
    return max(abs(at(history, t) / at(fine, t) - 1) for t in times)


def at(history: Sequence[Sequence[float]], time: float) -> float:
    """F between steps, where it is smooth: the cubic through the nearest four."""
    t, F = np.array(history).T
    first = int(np.clip(np.searchsorted(t, time) - 2, 0, max(len(t) - 4, 0)))
    t, F = t[first : first + 4], F[first : first + 4]
    weights = [np.prod([(time - b) / (a - b) for b in t if b != a]) for a in t]
    return float(np.dot(weights, F))


class Failed(Exception):
    """A measurement that came to no end; what went wrong stands on stderr."""


def process(code: str, job: Job, ranks: int, result: Path) -> dict[str, Any]:
    """Run a measurement in a process of its own, which writes its numbers to `result`. Raises Failed."""
    launcher = [] if ranks == 1 else ["mpirun", "--bind-to", "none", "-n", str(ranks)]
    command = [*launcher, sys.executable, str(SCRIPTS / PROGRAMS[code]), json.dumps(asdict(job)), str(result)]
    result.unlink(missing_ok=True)
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode or not result.exists():
        raise Failed(f"{code} failed on {Path(job.problem).name}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def scale(result: dict[str, Any], job: Job) -> None:
    """CPU seconds of the whole workload, where only some of its steps were run."""
    if job.steps and job.is_fixed:
        factor = STEPS[job.family][1] / job.steps
        result |= {
            "scaled_from_steps": job.steps,
            "cpu": result["cpu"] * factor,
            "parts": {k: v * factor for k, v in result["parts"].items()},
        }


def label(result: dict[str, Any]) -> str:
    name = Path(result["problem"]).stem if result["problem"].endswith(".toml") else f"{result['problem']}-{result['cells']}"
    return f"{name} {result['code']}" + (f" on {result['ranks']} ranks" if result["ranks"] > 1 else "")


COLUMNS = ("residual", "jacobian", "setup", "solve", "diagnostics", "rest")


def table(rows: list[dict[str, Any]]) -> str:
    """Medians over the repeats, as markdown."""
    heads = [
        "",
        "unknowns",
        "steps",
        "Newton",
        "linear",
        "CPU s",
        *("set-up" if c == "setup" else c for c in COLUMNS),
        "forms",
        "MiB",
        "error in time",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for same in groups(rows).values():
        one = same[0]
        parts = [f"{median(r['parts'].get(c, 0.0) for r in same):.3g}" for c in COLUMNS]
        error = next((f"{r['error']:.2e}" for r in same if "error" in r), "")
        error += next((f", F {r['error_of_energy']:.2e}" for r in same if "error_of_energy" in r), "")
        steps = f"{one['steps']}" + (f" (+{one['rejected']} rejected)" if one["rejected"] else "")
        cells = [label(one), one["unknowns"], steps, one["newton"], one["linear"], f"{median(r['cpu'] for r in same):.4g}", *parts]
        cells += [f"{median(r['forms'] for r in same):.2g}", f"{median(r['memory'] for r in same):.0f}", error]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def groups(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(label(row), []).append(row)
    return found


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Ratios, check values, and what was scaled."""
    lines = [""]
    for name, same in groups(rows).items():
        one = same[0]
        values = ", ".join(f"{key} = {value:.6g}" for key, value in one["checks"].items())
        lines.append(f"{name}: {one['scheme']}, {one['formulation']}, {one['linear_solver']}; {values}")
        if "scaled_from_steps" in one:
            lines.append(f"  CPU s scaled to all steps from the first {one['scaled_from_steps']}")
    both = groups(rows)
    for name, ours in both.items():
        theirs = both.get(name.replace(" fem_diffusion", " rival"), [])
        if theirs is ours or not theirs:
            continue
        ratios = [b["cpu"] / a["cpu"] for a, b in zip(ours, theirs, strict=True)]
        less = median(r["memory"] for r in theirs) / median(r["memory"] for r in ours)
        lines.append(
            f"{name}: {median(ratios):.2f} times fewer CPU s than the rival"
            + (f" ({min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} repeats)" if len(ratios) > 1 else "")
            + f", {less:.2f} times less memory"
        )
    return lines


if __name__ == "__main__":
    main()
