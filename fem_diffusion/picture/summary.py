"""One picture of a run: snapshots of the fields on the real geometry, where species go uphill, and energy, mass and steps over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from ..paraview import Array, DrawnMesh, cell_of
from ..results import Results
from ..uphill import Uphill
from .fields import draw_lines, draw_maps
from .history import draw_history
from .numbers import Snapshot, in_unit, prefixed
from .page import STYLE, Page
from .uphill import draw_uphill

MOST_SPECIES = 3
PHI = "φ"


def summary(
    path: Path,
    mesh: DrawnMesh,
    snapshots: Sequence[Snapshot],
    history: Mapping[str, Array],
    title: str,
    time_unit: str = "",
    length_unit: str = "",
    energy_unit: str = "",
    concentration_unit: str = "",
    labels: Mapping[str, str] | None = None,
    uphill: Sequence[Uphill] = (),
    electric: Sequence[Array] = (),
    electric_unit: str = "",
) -> None:
    """Write the picture (PNG, white background). On one rank, the one that has the mesh.

    snapshots:  times and the species' values at the points of the mesh; of many, those are shown that spread over the run
    history:    columns of history.csv: step, time, dt, newton_iterations, energy, mass_<species>
    *_unit:     "" where a quantity is dimensionless; "s", "m" and "V" get the prefix that suits the number
    labels:     what is written at a species' colours; default: its name
    uphill:     what goes uphill at each of the snapshots; where something does, a row shows it, with the columns uphill_flux_<species>
                of the history
    electric:   the electric potential at each of the snapshots, drawn below the species
    """
    names = {name: (labels or {}).get(name, name) for name in snapshots[0][1]}
    species = {name: f"{label}{in_unit(concentration_unit)}" for name, label in list(names.items())[:MOST_SPECIES]}
    fields = draw_lines if mesh.cell == "interval" else draw_maps
    with mpl.rc_context(STYLE):
        page = Page(title)
        fields(page, mesh, *_with_potential(snapshots, species, electric, electric_unit), time_unit, length_unit)
        draw_uphill(page, mesh, snapshots, uphill, history, names, time_unit, length_unit)
        signed = any(values[name].min() < -0.05 * abs(values[name]).max() for _, values in snapshots for name in species)
        if len(history["step"]) > 2:  # a steady state that was found at once has no history
            draw_history(page, history, time_unit, energy_unit, signed)
        page.save(path)


def _with_potential(
    snapshots: Sequence[Snapshot], species: Mapping[str, str], electric: Sequence[Array], unit: str
) -> tuple[Sequence[Snapshot], Mapping[str, str]]:
    """The fields to draw and their labels: the species, and the electric potential if there is one."""
    if not electric:
        return snapshots, species
    factor, unit = prefixed(max(float(np.abs(phi).max()) for phi in electric), unit)
    merged = [(t, {**values, PHI: phi / factor}) for (t, values), phi in zip(snapshots, electric, strict=True)]
    return merged, {**species, PHI: f"{PHI}{in_unit(unit)}"}


def summary_of(results: Results, first: int = 0) -> None:
    """Draw summary.png of a run from its results folder, with the fields from the time of that index on. On one rank."""
    history, names = results.history, [name for name in results.species if name in results.point_names]
    mesh = DrawnMesh(cell_of(results.vtk_type), results.points, results.cells)
    times = np.array(results.times)
    jumped = first > 0  # a steady state that was found at once
    indices = range(first, len(times))
    species = [(name, results.unit(name)) for name in names]
    uphill = [
        Uphill(
            product={name: results.cell(f"uphill_{name}", i) for name in names},
            flux={name: results.cell(f"flux_{name}", i) for name in names},
            fraction={name: float(np.interp(times[i], history["time"], history[f"uphill_flux_{name}"])) for name in names},
        )
        for i in indices
    ]
    charged = "phi" in results.point_names
    summary(
        results.folder / "summary.png",
        mesh,
        [(np.inf if jumped else times[i], {name: results.point(name, i) for name in names}) for i in indices],
        history,
        results.problem.get("title", ""),
        time_unit="s" if results.dimensional else "",
        length_unit="m" if results.dimensional else "",
        energy_unit=results.provenance.get("energy_unit", ""),
        concentration_unit=species[0][1].replace("^3", "³"),
        uphill=uphill,
        electric=[results.point("phi", i) for i in indices] if charged else [],
        electric_unit=results.unit("phi") or "RT/F" if charged else "",
    )
