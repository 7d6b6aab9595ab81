"""What a run needs before its first step: nothing heavy is imported, and what was compiled for one value of a parameter serves all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import dolfinx.jit
import pytest

from fem_diffusion import Problem
from fem_diffusion.integrator import Integrator
from fem_diffusion.run import steps
from fem_diffusion.system import System

BINARY = {
    "mesh": {"shape": "interval", "size": 10.0, "cells": 8},
    "species": [{"name": "A", "initial": "0.5 + 0.01*cos(x)", "source": "1e-3*cos(0.3*x)"}],
    "free_energy": [{"kind": "DoubleWell", "rho": 5.0, "a": 0.3, "b": 0.7}, {"kind": "Gradient", "kappa": 2.0}],
    "mobility": {"kind": "Constant", "value": 5.0},
    "time": {"end": 0.1, "step": 0.01},
}
GASES = {
    "temperature": "300 K",
    "molar_volume": "0.025 m^3/mol",
    "mesh": {"shape": "interval", "size": "0.1 m", "cells": 8},
    "species": [{"name": "H2", "initial": "0.3 + 0.1*cos(30*x)"}, {"name": "N2", "initial": 0.4}, {"name": "CO2", "balance": True}],
    "free_energy": [{"kind": "Ideal"}],
    "mobility": {"kind": "MaxwellStefan", "diffusivities": {"H2-N2": "8e-5 m^2/s", "H2-CO2": "7e-5 m^2/s", "N2-CO2": "2e-5 m^2/s"}},
    "reaction": [{"stoichiometry": {"H2": -1, "CO2": 1}, "rate": "1e-3*H2*exp(-500/T)"}],
    "time": {"end": "1 s", "step": "0.1 s"},
}
IONS = {
    "temperature": "300 K",
    "mesh": {"shape": "interval", "size": "15 nm", "cells": 8},
    "species": [
        {"name": "Na", "charge": 1, "diffusivity": "1.3e-9 m^2/s", "initial": "0.1 mol/l"},
        {"name": "Cl", "charge": -1, "diffusivity": "2.0e-9 m^2/s", "initial": "0.1 mol/l"},
    ],
    "free_energy": [{"kind": "LatticeGas", "site_concentration": "5 mol/l"}, {"kind": "Electrostatic", "relative_permittivity": 78.0}],
    "mobility": {"kind": "VolumeExclusion"},
    "boundary": {
        "left": {"surface_charge": "-0.01 C/m^2"},
        "right": {"potential": "0 V", "concentration": {"Na": "0.1 mol/l", "Cl": "0.1 mol/l"}},
    },
    "time": {"end": "1 ns", "step": "0.1 ns"},
}


@pytest.mark.serial
def test_drawing_meshing_and_statistics_are_loaded_where_they_are_used() -> None:
    code = "import sys, fem_diffusion.cli; print(*{'matplotlib', 'gmsh', 'meshio', 'scipy.stats', 'scipy.optimize'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


@pytest.mark.parametrize(
    ("problem", "change"),
    [
        (BINARY, lambda given: given | {"time": {"end": 0.1, "step": 0.003}}),
        (BINARY, lambda given: given | {"mobility": {"kind": "Constant", "value": 4.1}, "mesh": given["mesh"] | {"size": 9.3}}),
        (BINARY, lambda given: given | {"species": [given["species"][0] | {"source": "2e-3*cos(0.4*x)"}]}),
        (GASES, lambda given: given | {"temperature": "317 K"}),
        (GASES, lambda given: given | {"time": {"end": "1 s", "step": "0.07 s"}}),
        (IONS, lambda given: given | {"temperature": "311 K"}),
        (IONS, lambda given: given | {"boundary": given["boundary"] | {"left": {"surface_charge": "-0.013 C/m^2"}}}),
    ],
    ids=["step", "mobility and size", "number in an expression", "temperature", "step of gases", "temperature of ions", "surface charge"],
)
def test_a_sweep_compiles_once(monkeypatch: pytest.MonkeyPatch, problem: dict, change: Callable[[dict], dict]) -> None:
    names: set[str] = set()
    jit = dolfinx.jit.ffcx_jit

    def noted(*given: object, **options: object) -> object:
        compiled = jit(*given, **options)
        names.add(compiled[1].__name__)
        return compiled

    monkeypatch.setattr(dolfinx.jit, "ffcx_jit", noted)

    def compiled_for(given: dict) -> set[str]:
        names.clear()
        integrator = Integrator(System(Problem(**given)))
        for _ in zip(range(3), steps(integrator), strict=False):
            integrator.system.uphill_map()
        return set(names)

    first = compiled_for(problem)
    assert first and compiled_for(change(problem)) == first
