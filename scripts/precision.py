"""Work and precision: the error in time against CPU seconds for every time scheme; scripts/benchmark precision runs it.

    scripts/benchmark precision [pfhub charging gases] [--json FILE] [--figure FILE.png]

pfhub     spinodal decomposition, problems/pfhub_1b.toml on 100 x 100 cells, at t = 5, 10, 20, 50: growth, then coarsening
charging  two ions between blocking electrodes, problems/blocking_cell.toml, at t = 0.01, 0.03, 0.1, 0.3: from a fifth of the time constant of the
          double layers to six of them
gases     Maxwell-Stefan diffusion of three gases, problems/duncan_toor_bar.toml, at 1, 5, 10, 23.5 s

Each scheme goes with error-controlled steps at several tolerances and with fixed steps of several lengths. The error is the relative L2 difference
of the concentrations, the largest at these times, to those of BDF2 at a fine tolerance, in the same formulation and so in the same discretisation in
space. That of F is the largest of |F/F_ref - 1| at the same times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from benchmark import Failed, at, process
from workloads import REPO, Job, distance

SCHEMES = ("backward-euler", "convex-split", "avf", "bdf2")
COLOURS = dict(zip(SCHEMES, ("#0072b2", "#e69f00", "#009e73", "#d55e00"), strict=True))  # told apart by the colour-blind too (Okabe & Ito)


@dataclass(frozen=True)
class Study:
    """A problem, the times at which states are compared, the last of which is its end, and how steps are chosen.

    unit: of the times, "s" or none; cells: along the edges in place of the problem's own, none for those; counts: of fixed steps to the end;
    finest: the tolerance of the reference; schemes: that the problem can take
    """

    file: str
    times: tuple[float, ...]
    unit: str = ""
    cells: tuple[int, ...] = ()
    counts: tuple[int, ...] = (20, 80, 320)
    tolerances: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    finest: float = 1e-7
    schemes: tuple[str, ...] = SCHEMES
    title: str = ""

    def toml(self, control: dict[str, Any], formulation: str | None = None) -> str:
        """The problem with this control of its steps, and without output."""
        table = tomllib.loads((REPO / "problems" / self.file).read_text())
        table["time"] = {"end": self._time(self.times[-1])} | control
        table.pop("output", None)
        if self.cells:
            table["mesh"]["cells"] = list(self.cells)
        if formulation is not None:
            table["formulation"] = formulation
        return tomli_w.dumps(table)

    def controls(self) -> Iterator[dict[str, Any]]:
        for scheme in self.schemes:
            for tolerance in self.tolerances:
                yield {"scheme": scheme, "tolerance": tolerance}
            for count in self.counts:
                yield {"scheme": scheme, "step": self._time(self.times[-1] / count)}

    def _time(self, t: float) -> Any:
        return f"{t!r} {self.unit}" if self.unit else t


STUDIES = {
    "pfhub": Study(
        "pfhub_1b.toml", (5.0, 10.0, 20.0, 50.0), cells=(100, 100), counts=(50, 200, 800), title="PFHub 1b, 100 x 100 cells, to t = 50"
    ),
    "charging": Study(
        "blocking_cell.toml", (0.01, 0.03, 0.1, 0.3), schemes=("backward-euler", "bdf2"), title="Charging of a blocking cell, to t = 0.3"
    ),
    "gases": Study(
        "duncan_toor_bar.toml", (1.0, 5.0, 10.0, 23.5), "s", schemes=("backward-euler", "bdf2"), title="A bar of three gases, to 23.5 s"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark precision", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="*", help=", ".join(STUDIES))
    parser.add_argument("--json", help="a file for all numbers")
    parser.add_argument("--figure", help="a file for the diagrams, .png or .svg")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.study if name not in STUDIES]
    if unknown:
        parser.error(f"there is no study '{unknown[0]}'; legal: {', '.join(STUDIES)}")
    points: dict[str, list[dict[str, Any]]] = {}
    for name in arguments.study or STUDIES:
        points[name] = measured(STUDIES[name])
        print(table(STUDIES[name], points[name]), flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(points, indent=1))
    if arguments.figure:
        draw({name: (STUDIES[name], found) for name, found in points.items()}, Path(arguments.figure))


def measured(study: Study) -> list[dict[str, Any]]:
    """One point for each scheme and control; without `error` where the run failed."""
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, references = Path(name), {}
        for control in study.controls():
            try:
                result, state = _run(study, control, folder)
            except Failed as failure:
                print(f"{control}: {failure}", file=sys.stderr)
                points.append(control)
                continue
            formulation = result["formulation"]
            if formulation not in references:
                fine = {"scheme": "bdf2", "tolerance": study.finest}
                references[formulation] = _run(study, fine, folder, formulation)
            reference, fine_state = references[formulation]
            counts = {key: result[key] for key in ("formulation", "steps", "rejected", "newton", "linear", "cpu")}
            errors = {
                "error": distance(state, fine_state),
                "error_of_energy": max(abs(at(result["history"], t) / at(reference["history"], t) - 1) for t in study.times),
            }
            points.append(control | counts | errors)
            print(f"{control}: {points[-1]['error']:.2e} in {result['cpu']:.3g} CPU s", file=sys.stderr, flush=True)
    return points


def _run(study: Study, control: dict[str, Any], folder: Path, formulation: str | None = None) -> tuple[dict[str, Any], str]:
    problem = folder / "problem.toml"
    problem.write_text(study.toml(control, formulation))
    state = str(folder / f"{formulation or 'state'}.npz")
    return process("fem_diffusion", Job(str(problem), state=state, times=study.times), 1, folder / "result.json"), state


def table(study: Study, points: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"\n{study.title}\n",
        "| scheme | control | formulation | steps | Newton | CPU s | error of c | error of F |",
        "|" + "---|" * 8,
    ]
    for point in points:
        control = f"tolerance {point['tolerance']:g}" if "tolerance" in point else f"step {point['step']}"
        if "error" not in point:
            lines.append(f"| {point['scheme']} | {control} | | | | | failed | |")
            continue
        steps = f"{point['steps']}" + (f" (+{point['rejected']} rejected)" if point["rejected"] else "")
        errors = [f"{point[key]:.1e}" for key in ("error", "error_of_energy")]
        cells = (point["scheme"], control, point["formulation"], steps, point["newton"], f"{point['cpu']:.3g}", *errors)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def draw(studies: dict[str, tuple[Study, list[dict[str, Any]]]], path: Path) -> None:
    """Error against CPU seconds, a panel for each problem."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(studies), figsize=(max(5 * len(studies), 10), 4.6), squeeze=False, layout="constrained")
    for panel, (study, points) in zip(panels[0], studies.values(), strict=True):
        for scheme in study.schemes:
            for key, style, how in (("tolerance", "o-", "error-controlled"), ("step", "s:", "fixed steps")):
                chosen = [p for p in points if p["scheme"] == scheme and key in p and "error" in p]
                panel.loglog(
                    [p["cpu"] for p in chosen], [p["error"] for p in chosen], style, color=COLOURS[scheme], label=f"{scheme}, {how}"
                )
        panel.set(title=study.title, xlabel="CPU s", ylabel="relative error of c in time")
        panel.grid(True, which="major", alpha=0.3)
    lines = {line.get_label(): line for panel in panels[0] for line in panel.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
