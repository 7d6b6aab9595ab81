"""Work and precision: the error in time against CPU seconds for every time scheme; scripts/benchmark precision runs it.

    scripts/benchmark precision [pfhub charging gases] [--full] [--json FILE] [--figure FILE.png]

pfhub     spinodal decomposition, problems/pfhub_1b.toml on 50 x 50 cells to t = 20 (--full: 200 x 200 to t = 100)
charging  two ions between blocking electrodes, problems/blocking_cell.toml to t = 0.1, two time constants of the double layers
gases     Maxwell-Stefan diffusion of three gases, problems/duncan_toor_bar.toml to 23.5 s (--full: duncan_toor_bulbs.toml to 2 h)

Each scheme goes with error-controlled steps at several tolerances and with fixed steps of several lengths. The error is the relative L2 difference
of the final concentrations to those of BDF2 at a tolerance of 1e-7, in the same formulation and so in the same discretisation in space.
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
from benchmark import Failed, process
from workloads import REPO, Job, distance

SCHEMES = ("backward-euler", "convex-split", "avf", "bdf2")
COLOURS = dict(zip(SCHEMES, ("#0072b2", "#e69f00", "#009e73", "#d55e00"), strict=True))  # told apart by the colour-blind too (Okabe & Ito)
TOLERANCES = (1e-2, 1e-3, 1e-4)
REFERENCE_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Study:
    """A problem, where it ends, and the numbers of fixed steps to there.

    end, unit: the end is `end` units; cells: along the edges in place of the problem's own, none for those; schemes: that the problem can take
    """

    file: str
    end: float
    unit: str = ""
    cells: tuple[int, ...] = ()
    counts: tuple[int, ...] = (20, 80, 320)
    schemes: tuple[str, ...] = SCHEMES
    title: str = ""

    def toml(self, control: dict[str, Any], formulation: str | None = None) -> str:
        """The problem with this control of its steps, and without output."""
        table = tomllib.loads((REPO / "problems" / self.file).read_text())
        table["time"] = {"end": self._time(self.end)} | control
        table.pop("output", None)
        if "file" in table["mesh"]:
            table["mesh"]["file"] = str((REPO / "problems" / table["mesh"]["file"]).resolve())
        if self.cells:
            table["mesh"]["cells"] = list(self.cells)
        if formulation is not None:
            table["formulation"] = formulation
        return tomli_w.dumps(table)

    def controls(self) -> Iterator[dict[str, Any]]:
        for scheme in self.schemes:
            for tolerance in TOLERANCES:
                yield {"scheme": scheme, "tolerance": tolerance}
            for count in self.counts:
                yield {"scheme": scheme, "step": self._time(self.end / count)}

    def _time(self, t: float) -> Any:
        return f"{t!r} {self.unit}" if self.unit else t


STUDIES = {
    "pfhub": Study("pfhub_1b.toml", 20.0, cells=(50, 50), title="PFHub 1b, 50 x 50 cells, t = 20"),
    "charging": Study("blocking_cell.toml", 0.1, schemes=("backward-euler", "bdf2"), title="Charging of a blocking cell, t = 0.1"),
    "gases": Study("duncan_toor_bar.toml", 23.5, "s", title="A bar of three gases, 23.5 s"),
}
FULL = {
    "pfhub": Study("pfhub_1b.toml", 100.0, cells=(200, 200), counts=(200, 800, 3200), title="PFHub 1b, 200 x 200 cells, t = 100"),
    "charging": STUDIES["charging"],
    "gases": Study("duncan_toor_bulbs.toml", 2.0, "h", title="Duncan and Toor's bulbs, 2 h"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/benchmark precision", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="*", help=", ".join(STUDIES))
    parser.add_argument("--full", action="store_true", help="finer and longer, hours")
    parser.add_argument("--json", help="a file for all numbers")
    parser.add_argument("--figure", help="a file for the diagrams, .png or .svg")
    arguments = parser.parse_args()
    studies = FULL if arguments.full else STUDIES
    unknown = [name for name in arguments.study if name not in studies]
    if unknown:
        parser.error(f"there is no study '{unknown[0]}'; legal: {', '.join(studies)}")
    points: dict[str, list[dict[str, Any]]] = {}
    for name in arguments.study or studies:
        points[name] = measured(studies[name])
        print(table(studies[name], points[name]), flush=True)
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(points, indent=1))
    if arguments.figure:
        draw({name: (studies[name], found) for name, found in points.items()}, Path(arguments.figure))


def measured(study: Study) -> list[dict[str, Any]]:
    """One point for each scheme and control; without `error` where the run failed."""
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, references = Path(name), {}
        for control in study.controls():
            try:
                result, state = _run(study.toml(control), folder)
            except Failed as failure:
                print(f"{control}: {failure}", file=sys.stderr)
                points.append(control)
                continue
            formulation = result["formulation"]
            if formulation not in references:
                text = study.toml({"scheme": "bdf2", "tolerance": REFERENCE_TOLERANCE}, formulation)
                references[formulation] = _run(text, folder, f"{formulation}.npz")[1]
            counts = {key: result[key] for key in ("formulation", "steps", "rejected", "newton", "linear", "cpu")}
            points.append(control | counts | {"error": distance(state, references[formulation])})
            print(f"{control}: {points[-1]['error']:.2e} in {result['cpu']:.3g} CPU s", file=sys.stderr, flush=True)
    return points


def _run(text: str, folder: Path, state: str = "state.npz") -> tuple[dict[str, Any], str]:
    problem = folder / "problem.toml"
    problem.write_text(text)
    path = str(folder / state)
    return process("fem_diffusion", Job(str(problem), state=path), 1, folder / "result.json"), path


def table(study: Study, points: Sequence[dict[str, Any]]) -> str:
    lines = [f"\n{study.title}\n", "| scheme | control | formulation | steps | Newton | CPU s | error |", "|" + "---|" * 7]
    for point in points:
        control = f"tolerance {point['tolerance']:g}" if "tolerance" in point else f"step {point['step']}"
        if "error" not in point:
            lines.append(f"| {point['scheme']} | {control} | | | | | failed |")
            continue
        steps = f"{point['steps']}" + (f" (+{point['rejected']} rejected)" if point["rejected"] else "")
        cells = (point["scheme"], control, point["formulation"], steps, point["newton"], f"{point['cpu']:.3g}", f"{point['error']:.2e}")
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
