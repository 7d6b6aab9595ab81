"""Temperatures that vary in space and time: the scales, Arrhenius' law, currents, equilibria of uniform mu/RT, and what is no temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from fem_diffusion import (
    Boundary,
    Degenerate,
    Fick,
    Gradient,
    Ideal,
    InputError,
    Mesh,
    Mobility,
    Problem,
    RedlichKister,
    RegularSolution,
    Species,
    Stirring,
    Term,
    Time,
)
from fem_diffusion.constants import GAS_CONSTANT
from fem_diffusion.free_energy import LatticeGas
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.reaction import Reaction
from fem_diffusion.system import System

PREFACTOR, ACTIVATION = 1e-7, 60e3  # m^2/s, J/mol
ARRHENIUS = {"prefactor": f"{PREFACTOR} m^2/s", "activation_energy": f"{ACTIVATION / 1e3} kJ/mol"}
LENGTH = 0.01  # m


def diffusivity(T: Any) -> Any:
    return PREFACTOR * np.exp(-ACTIVATION / (GAS_CONSTANT * T))


def bar(
    temperature: str,
    *,
    initial: float | str = 0.5,
    free_energy: Sequence[Term] = (Ideal(),),
    mobility: Mobility | None = None,
    boundary: dict[str, Boundary] | None = None,
    cells: int = 40,
    formulation: str | None = None,
    **time: Any,
) -> System:
    """One centimetre of a material with units."""
    return System(
        Problem(
            temperature=temperature,
            molar_volume="1e-5 m^3/mol",
            mesh=Mesh(shape="interval", size=f"{LENGTH} m", cells=cells),
            species=[Species(name="A", initial=initial)],
            free_energy=free_energy,
            mobility=mobility or Fick(diffusivities={"A": ARRHENIUS}),
            boundary=boundary or {},
            formulation=formulation,
            time=Time(**time),
        )
    )


def run(system: System) -> list[Step]:
    return list(Integrator(system).steps())


AT_ONCE = {"scheme": "backward-euler", "end": "5e20 s", "step": "1e20 s"}


def test_scales_are_those_of_the_middle_at_the_start() -> None:
    assert bar("1000 + 200*x/0.01 + 5*t", end="1 s").scales.temperature == pytest.approx(1100.0, rel=1e-14)
    assert bar("900 K", end="1 s").scales.temperature == 900.0


@pytest.mark.parametrize("formulation", ["fractions", "entropy", "potential"])
def test_cosine_decays_by_the_integral_of_arrhenius_law(formulation: str) -> None:
    """a' = -k^2 D0 exp(-Q/RT(t)) a at T = 1000 K + r t, k of the mesh; the decay of a in all is exp(-k^2 int D dt)."""
    end, heating, cells = 1e5, 1e-3, 40
    h = LENGTH / cells
    k2 = 2 * (1 - np.cos(np.pi / cells)) / h**2  # of -d^2/dx^2 by lumped elements
    decay = np.exp(-k2 * quad(lambda t: diffusivity(1000 + heating * t), 0, end)[0])
    assert 0.1 < decay < 0.9

    def error(steps: int) -> float:
        system = bar(
            f"1000 + {heating}*t",
            initial=f"0.5 + 1e-3*cos(pi*x/{LENGTH})",
            cells=cells,
            formulation=formulation,
            end=f"{end} s",
            step=f"{end / steps} s",
        )
        run(system)
        mode = system.volume * np.cos(np.pi * system.formulation.x[0] * system.scales.length / LENGTH)
        norm = global_sum(system.comm, mode @ np.cos(np.pi * system.formulation.x[0] * system.scales.length / LENGTH))
        return float(abs(global_sum(system.comm, mode @ system.concentrations[:, 0]) / norm / 1e-3 / decay - 1))

    coarse, fine = error(20), error(40)
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.15)
    assert fine < 1e-3


@pytest.mark.parametrize("formulation", ["fractions", "entropy", "potential"])
def test_current_through_a_temperature_gradient(formulation: str) -> None:
    """J int dx/D(T(x)) = c_l - c_r for an ideal mixture: mu/RT drives, so a gradient of T alone moves nothing."""
    warm, cold, high, low = 1200.0, 900.0, 0.6, 0.2

    def defect(cells: int) -> float:
        system = bar(
            f"{warm} - {warm - cold}*x/{LENGTH}",
            cells=cells,
            boundary={"left": Boundary(concentration={"A": high}), "right": Boundary(concentration={"A": low})},
            formulation=formulation,
            **AT_ONCE,
        )
        *_, last = run(system)
        velocity = system.scales.length / system.scales.time
        assert last.fluxes["A", "left"] == pytest.approx(-last.fluxes["A", "right"], rel=1e-10)
        return last.fluxes["A", "right"] * velocity / J - 1

    resistance, _ = quad(lambda s: LENGTH / diffusivity(warm - (warm - cold) * s), 0, 1)
    J = (high - low) / resistance
    coarse, fine = defect(20), defect(40)
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.1)
    assert abs(fine) < 2e-3


def test_every_place_reacts_at_its_own_temperature() -> None:
    """Without diffusion to speak of A = A_0 exp(-k(T) t), k = 1e3 exp(-5000 K/T) 1/s."""
    system = System(
        Problem(
            temperature=f"900 + 200*x/{LENGTH}",
            molar_volume="1e-5 m^3/mol",
            mesh=Mesh(shape="interval", size=f"{LENGTH} m", cells=10),
            species=[Species(name="A", initial=0.5, diffusivity="1e-20 m^2/s")],
            free_energy=[Ideal()],
            mobility=Fick(),
            reaction=[Reaction(stoichiometry={"A": -1}, rate="1e3*exp(-5000/T)*A")],
            time=Time(end="0.1 s", tolerance=1e-6),
        )
    )
    run(system)
    T = 900 + 200 * system.formulation.x[0] * system.scales.length / LENGTH
    assert system.concentrations[:, 0] == pytest.approx(0.5 * np.exp(-1e2 * np.exp(-5000 / T)), rel=1e-4)


# --- equilibria: mu/RT is uniform


def equilibrium(potential: Callable[[float, float], float], T: np.ndarray, volume: np.ndarray, amount: float) -> np.ndarray:
    """The c at every vertex with potential(c, T) = w and sum volume c = amount, for the whole domain on one rank."""

    def c(w: float) -> np.ndarray:
        return np.array([brentq(lambda c, t=t: potential(c, t) - w, 1e-12, 1 - 1e-12, xtol=1e-15) for t in T])

    return c(brentq(lambda w: float(volume @ c(w)) - amount, -5.0, 5.0, xtol=1e-13))


def regular(c: float, T: float) -> float:
    return float(np.log(c / (1 - c)) + 15e3 / (GAS_CONSTANT * T) * (1 - 2 * c))


def redlich_kister(c: float, T: float) -> float:
    """d/dc of c ln c + (1-c) ln(1-c) + c (1-c) L(T)/RT, L = 33819.1 - 8.1236 T (Ag-Cu, fcc)."""
    L = 33819.1 - 8.1236 * T
    return float(np.log(c / (1 - c)) + L / (GAS_CONSTANT * T) * (1 - 2 * c))


REGULAR = ([RegularSolution(interaction="15 kJ/mol")], regular, 1000.0)
SILVER_COPPER = ([LatticeGas(), RedlichKister(coefficients={"A-rest": ["33819.1 - 8.1236*T"]})], redlich_kister, 1700.0)


@pytest.mark.parametrize(("free_energy", "potential", "T0"), [REGULAR, SILVER_COPPER], ids=["regular", "redlich-kister"])
@pytest.mark.parametrize(
    ("mobility", "accuracy"),
    [(Degenerate(diffusivity="1e-9 m^2/s"), 1e-8), (Stirring(diffusivity="1e-9 m^2/s"), 1e-4)],
    ids=["potential", "fractions"],
)
def test_equilibrium_in_a_temperature_gradient(
    free_energy: Sequence[Term], potential: Callable[[float, float], float], T0: float, mobility: Mobility, accuracy: float
) -> None:
    """Exact at the vertices where mu is an unknown; to second order in h where it is not."""
    system = bar(
        f"{T0} + 200*x/{LENGTH}",
        initial="0.2 + 10*x",
        free_energy=free_energy,
        mobility=mobility,
        cells=40,
        scheme="backward-euler",
        end="5e15 s",
        step="1e15 s",
    )
    assert system.formulation.name == ("potential" if isinstance(mobility, Degenerate) else "fractions")
    run(system)
    x = np.linspace(0, 1, 41)
    volume = np.full(41, 1 / 40)
    volume[[0, -1]] /= 2
    exact = equilibrium(potential, T0 + 200 * x, volume, 0.25)
    assert np.ptp(exact) > 0.01
    here = np.interp(system.formulation.x[0] * system.scales.length / LENGTH, x, exact)
    assert global_max(system.comm, np.abs(system.concentrations[:, 0] - here)) < accuracy


def test_reservoir_of_a_chemical_potential_in_a_temperature_gradient() -> None:
    """mu in J/m^3 is fixed where T is 1000 K: in equilibrium mu(c, T)/RT is what it is there, everywhere."""
    mu, RT = 2e8, GAS_CONSTANT * 1000.0 / 1e-5  # J/m^3
    system = bar(
        f"1000 + 200*x/{LENGTH}",
        free_energy=REGULAR[0],
        mobility=Degenerate(diffusivity="1e-9 m^2/s"),
        boundary={"left": Boundary(chemical_potential={"A": f"{mu} J/m^3"})},
        **AT_ONCE,
    )
    run(system)
    T = 1000 + 200 * system.formulation.x[0] * system.scales.length / LENGTH
    c = [brentq(lambda c, t=t: regular(c, t) - mu / RT, 1e-12, 1 - 1e-12, xtol=1e-15) for t in T]
    assert system.concentrations[:, 0] == pytest.approx(c, rel=1e-8)


def test_films_driven_by_potentials_at_two_temperatures() -> None:
    """J = k_1 (mu_1 - RT_1/V_m (ln c_1 + 1)) = D (c_1 - c_2)/l = k_2 (RT_2/V_m (ln c_2 + 1) - mu_2), in SI."""
    k1, k2, mu1, mu2, hot, cold, D = 2e-16, 1e-16, 2e8, -3e8, 1200.0, 900.0, 1e-9

    def defect(J: float) -> float:
        c1 = np.exp((mu1 - J / k1) / (GAS_CONSTANT * hot / 1e-5) - 1)
        c2 = np.exp((mu2 + J / k2) / (GAS_CONSTANT * cold / 1e-5) - 1)
        return float(D / LENGTH * (c1 - c2) - J)

    J = brentq(defect, 0.0, 1e-7, xtol=1e-22)
    film = [
        Boundary(exchange={"A": {"coefficient": f"{k} m^4/(J*s)", "potential_reference": f"{mu} J/m^3"}})
        for k, mu in ((k1, mu1), (k2, mu2))
    ]
    system = bar(
        f"{hot} - {hot - cold}*x/{LENGTH}",
        mobility=Fick(diffusivities={"A": f"{D} m^2/s"}),
        boundary={"left": film[0], "right": film[1]},
        **AT_ONCE,
    )
    *_, last = run(system)
    assert system.formulation.name == "fractions"
    assert last.fluxes["A", "right"] * system.scales.length / system.scales.time == pytest.approx(J, rel=1e-9)


# --- with and without units


def test_units_change_nothing() -> None:
    """The same bar in units of RT and T in its middle, lengths in centimetres, times in cm^2/D0."""
    T0, D0 = 1000.0, 1e-9
    RT0 = GAS_CONSTANT * T0
    unit = LENGTH**2 / D0
    in_units = bar(
        f"{T0} + 100*(x/{LENGTH} - 0.5) + 50*t/{unit}",
        initial=f"0.3 + 0.1*cos(pi*x/{LENGTH})",
        free_energy=[LatticeGas(), RedlichKister(coefficients={"A-rest": ["12e3 - 2*T"]})],
        mobility=Stirring(diffusivity={"prefactor": f"{D0} m^2/s", "activation_energy": "10 kJ/mol"}),
        end=f"{unit} s",
        step=f"{unit / 20} s",
    )
    plain = System(
        Problem(
            temperature="1 + 0.1*(x - 0.5) + 0.05*t",
            mesh=Mesh(shape="interval", size=1.0, cells=40),
            species=[Species(name="A", initial="0.3 + 0.1*cos(pi*x)")],
            free_energy=[LatticeGas(), RedlichKister(coefficients={"A-rest": [f"{12e3 / RT0!r} - {2 / GAS_CONSTANT!r}*T"]})],
            mobility=Stirring(diffusivity={"prefactor": 1.0, "activation_energy": 10e3 / RT0}),
            time=Time(end=1.0, step=0.05),
        )
    )
    assert plain.scales.temperature == 1.0 and in_units.scales.temperature == pytest.approx(T0)
    assert len(run(in_units)) == len(run(plain)) == 20
    assert in_units.concentrations == pytest.approx(plain.concentrations, rel=1e-9)


def test_energy_may_rise_where_the_temperature_is_driven() -> None:
    """Heating dissolves what had separated: F/RT of a fixed state falls with chi, of an ordering one (chi < 0) it rises. No step is rejected."""
    system = System(
        Problem(
            temperature="1 + t",
            mesh=Mesh(shape="interval", size=20.0, cells=40),
            species=[Species(name="A", initial="0.5 + 0.01*cos(pi*x/10)")],
            free_energy=[RegularSolution(chi=-2.0), Gradient(kappa=1.0)],
            mobility=Degenerate(diffusivity=1.0),
            time=Time(end=1.0, tolerance=1e-3),
        )
    )
    assert not system.isolated
    integrator = Integrator(system)
    energies = [integrator.energy, *(step.energy for step in integrator.steps())]
    assert min(np.diff(energies)) > 0
    assert integrator.rejections.energy == 0


def test_temperature_that_varies_in_space_alone_leaves_the_system_isolated() -> None:
    system = bar(
        "1000 + 20e3*x", free_energy=[RegularSolution(interaction="15 kJ/mol")], mobility=Stirring(diffusivity="1e-9 m^2/s"), end="1e5 s"
    )
    assert system.isolated
    energies = [step.energy for step in run(system)]
    assert max(np.diff(energies)) < 1e-12


# --- what is no temperature


@pytest.mark.parametrize(
    ("temperature", "fragments"),
    [
        ("1000 - 3e5*x", ("temperature = '1000 - 3e5*x' is -500 in the middle of the domain", "must be positive")),
        ("1000 - 1e5*x", ("temperature = '1000 - 1e5*x' is 0 at (0.01)", "must be positive")),
        ("5 - 1000*x - 1000", ("temperature = '5 - 1000*x - 1000'", "must be positive")),
        ("1000*sqrt(x - 0.002)", ("is nan at (0) at t = 0", "must be positive")),
        ("1000/x", ("is inf at (0) at t = 0", "must be positive")),
        ("1000 + noise", ("temperature = '1000 + noise'", "noise is for initial values only")),
        ("1000 + X", ("temperature", "unknown name 'X'", "legal: noise, pi, t, x, y, z")),
        ("1000 J", ("temperature = '1000 J'", "wrong unit")),
    ],
)
def test_what_is_no_temperature(temperature: str, fragments: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        bar(temperature, end="1 s")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_temperature_that_stops_to_be_one() -> None:
    """It is positive at the start: the run ends at the step that would pass zero."""
    system = bar("1000 - 100*t", end="20 s", step="3 s")
    with pytest.raises(InputError, match=r"temperature = '1000 - 100\*t' is -200 at \(0\) at t = 12"):
        run(system)


def test_number_among_units() -> None:
    with pytest.raises(InputError, match="units and plain numbers are mixed.*temperature = 1000.0 has none"):
        bar(1000.0, end="1 s")  # type: ignore[arg-type]
