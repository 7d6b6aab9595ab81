"""Films and membranes at boundaries, and chemical reactions: relaxation, currents and yields in closed form, fluxes that balance the mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from fem_diffusion import Boundary, Constant, Fick, Ideal, MaxwellStefan, Mesh, Mobility, Problem, RegularSolution, Species, Term, Time
from fem_diffusion.integrator import Integrator, Step
from fem_diffusion.parallel import global_max, global_sum
from fem_diffusion.reaction import Reaction
from fem_diffusion.system import System

FORMULATIONS = pytest.mark.parametrize("formulation", ["fractions", "entropy", "potential"])
D = 0.7


def slab(
    boundary: Mapping[str, Boundary],
    *,
    initial: float | str = 0.5,
    cells: int = 40,
    formulation: str | None = None,
    free_energy: Sequence[Term] = (Ideal(),),
    mobility: Mobility | None = None,
    reaction: Sequence[Reaction] = (),
    **time: Any,
) -> System:
    """One species A on (0, 1), by Fick's law if nothing else is said."""
    return System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=cells),
            species=[Species(name="A", initial=initial)],
            free_energy=free_energy,
            mobility=mobility or Fick(diffusivities={"A": D}),
            boundary=boundary,
            reaction=reaction,
            formulation=formulation,
            time=Time(**time),
        )
    )


def run(system: System) -> list[Step]:
    return list(Integrator(system).steps())


def steady(system: System) -> Step:
    """After some steps that are longer than all times of the problem."""
    *_, last = run(system)
    return last


AT_ONCE = {"scheme": "backward-euler", "end": 5e13, "step": 1e13}


def exchange(**given: Any) -> Boundary:
    return Boundary(exchange={"A": given})


# --- J.n = k (c - reference)


def slowest(biot: float) -> float:
    """The first root of beta tan(beta) = Bi."""
    return float(brentq(lambda b: b * np.tan(b) - biot, 1e-9, np.pi / 2 - 1e-9))


def robin_error(cells: int, formulation: str) -> float:
    """c = r + a cos(beta x) exp(-beta^2 D t), beta tan(beta) = k/D, of a slab of length 1 (Carslaw & Jaeger, 2nd ed. 1959, 3.11)."""
    k, r, a, end = 0.9, 0.3, 0.4, 1.0
    beta = slowest(k / D)
    system = slab(
        {"right": exchange(coefficient=k, reference=r)},
        initial=f"{r} + {a}*cos({beta!r}*x)",
        cells=cells,
        formulation=formulation,
        end=end,
        step=end / 400,
    )
    run(system)
    exact = r + a * np.cos(beta * system.formulation.x[0]) * np.exp(-(beta**2) * D * end)
    return float(global_max(system.comm, np.abs(system.concentrations[:, 0] - exact)))


@FORMULATIONS
def test_slowest_mode_of_a_slab_with_a_film(formulation: str) -> None:
    coarse, fine = robin_error(8, formulation), robin_error(16, formulation)
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.1)
    assert fine < 1e-3


def test_uniform_slab_with_a_film_relaxes_by_its_series() -> None:
    """(c - r)/(c_0 - r) = sum_n 4 sin(b_n)/(2 b_n + sin(2 b_n)) cos(b_n x) exp(-b_n^2 D t)  (Carslaw & Jaeger, 3.11, eq. 12)"""
    k, r, start, end = 2.0, 0.1, 0.6, 0.3
    system = slab({"right": exchange(coefficient=k, reference=r)}, initial=start, cells=100, end=end, tolerance=1e-5)
    run(system)
    x, biot = system.formulation.x[0], k / D
    b = [float(brentq(lambda b: b * np.sin(b) - biot * np.cos(b), n * np.pi + 1e-9, (n + 0.5) * np.pi)) for n in range(30)]
    series = sum(4 * np.sin(bn) / (2 * bn + np.sin(2 * bn)) * np.cos(bn * x) * np.exp(-(bn**2) * D * end) for bn in b)
    assert system.concentrations[:, 0] == pytest.approx(r + (start - r) * series, abs=5e-5)


@FORMULATIONS
def test_membranes_on_both_sides_are_resistances_in_series(formulation: str) -> None:
    """J = (c_1 - c_2)/(1/k_1 + 1/D + 1/k_2); by averages of c over cells, as with potentials, c' = -J/D has an error of (h c'/c)^2/12."""
    k1, k2, c1, c2 = 3.0, 0.5, 0.8, 0.2
    system = slab(
        {"left": exchange(coefficient=k1, reference=c1), "right": exchange(coefficient=k2, reference=c2)},
        formulation=formulation,
        **AT_ONCE,
    )
    last = steady(system)
    J = (c1 - c2) / (1 / k1 + 1 / D + 1 / k2)
    accuracy = 1e-10 if formulation == "fractions" else (J / D / 40 / 0.5) ** 2
    assert last.fluxes["A", "right"] == pytest.approx(J, rel=accuracy)
    assert last.fluxes["A", "left"] == pytest.approx(-J, rel=accuracy)
    assert system.concentrations[:, 0] == pytest.approx(c1 - J / k1 - J / D * system.formulation.x[0], rel=accuracy)


def test_reference_varies_with_place_and_time() -> None:
    """k -> infinity makes a reservoir of the reference: c = 0.2 + 0.1 t + 0.1 (x^2 - 1)/(2 D) obeys c_t = D c_xx."""
    k, start = 1e9, f"0.2 + 0.1*(x**2 - 1)/(2*{D})"
    system = slab({"right": exchange(coefficient=k, reference="0.2 + 0.1*t*x")}, initial=start, end=1.0, step=0.1)
    run(system)
    x = system.formulation.x[0]
    assert system.concentrations[:, 0] == pytest.approx(0.3 + 0.1 * (x**2 - 1) / (2 * D), abs=1e-9)


# --- J.n = k (mu - potential_reference)


def test_films_driven_by_potentials_at_a_constant_mobility() -> None:
    """J = (mu_1 - mu_2)/(1/k_1 + 1/L + 1/k_2), mu is linear, and c follows from ln(c/(1-c)) + chi (1-2c) = mu."""
    k1, k2, mu1, mu2, L, chi = 2.0, 0.7, 0.9, -0.4, 1.3, 1.5
    system = slab(
        {"left": exchange(coefficient=k1, potential_reference=mu1), "right": exchange(coefficient=k2, potential_reference=mu2)},
        free_energy=[RegularSolution(chi=chi)],
        mobility=Constant(value=L),
        **AT_ONCE,
    )
    last = steady(system)
    J = (mu1 - mu2) / (1 / k1 + 1 / L + 1 / k2)
    assert last.fluxes["A", "right"] == pytest.approx(J, rel=1e-10)
    assert last.fluxes["A", "left"] == pytest.approx(-J, rel=1e-10)
    mu = mu1 - J / k1 - J / L * system.formulation.x[0]
    c = [brentq(lambda c, mu=mu_x: np.log(c / (1 - c)) + chi * (1 - 2 * c) - mu, 1e-9, 1 - 1e-9, xtol=1e-14) for mu_x in mu]
    assert system.concentrations[:, 0] == pytest.approx(c, rel=1e-9)


@FORMULATIONS
def test_films_driven_by_potentials_with_ficks_law(formulation: str) -> None:
    """J = k_1 (mu_1 - ln c_l - 1) = D (c_l - c_r) = k_2 (ln c_r + 1 - mu_2), one equation for J."""
    k1, k2, mu1, mu2 = 2.0, 0.7, 0.5, -0.6

    def defect(J: float) -> float:
        left, right = np.exp(mu1 - J / k1 - 1), np.exp(mu2 + J / k2 - 1)
        return float(D * (left - right) - J)

    J = brentq(defect, 0.0, 1.0, xtol=1e-15)
    system = slab(
        {"left": exchange(coefficient=k1, potential_reference=mu1), "right": exchange(coefficient=k2, potential_reference=mu2)},
        formulation=formulation,
        **AT_ONCE,
    )
    last = steady(system)
    accuracy = 1e-10 if formulation == "fractions" else (J / D / 40 / 0.3) ** 2
    assert last.fluxes["A", "right"] == pytest.approx(J, rel=accuracy)
    assert last.fluxes["A", "left"] == pytest.approx(-J, rel=accuracy)


# --- balances


@pytest.mark.parametrize(
    ("scheme", "formulation"),
    [
        *product(["backward-euler", "bdf2"], ["fractions", "entropy", "potential"]),
        *product(["avf", "convex-split"], ["potential"]),  # which take mu between two states
    ],
)
def test_mass_changes_by_the_fluxes(scheme: str, formulation: str) -> None:
    """On one boundary a flux and an exchange add up; a reservoir, and films of both kinds on the others."""
    system = System(
        Problem(
            mesh=Mesh(shape="rectangle", size=[1.0, 0.5], cells=[8, 4]),
            species=[Species(name="A", initial="0.4 + 0.1*cos(pi*x)")],
            free_energy=[Ideal()],
            mobility=Fick(diffusivities={"A": D}),
            boundary={
                "left": Boundary(flux={"A": "0.1*sin(20*t)"}, exchange={"A": {"coefficient": 0.4, "reference": "0.3 + 0.1*y"}}),
                "right": exchange(coefficient=0.8, potential_reference=0.3),
                "top": Boundary(concentration={"A": 0.5}),
            },
            formulation=formulation,
            time=Time(end=0.3, tolerance=1e-2, scheme=scheme),
        )
    )
    integrator = Integrator(system)
    mass = system.masses()
    for step in integrator.steps():
        before, mass = mass, system.masses()
        outflow = step.dt * sum(step.fluxes.values())
        assert mass[0] - before[0] == pytest.approx(-outflow, abs=1e-14)
        assert all(step.fluxes["A", boundary] != 0.0 for boundary in ("left", "right", "top"))


# --- reactions


def stirred(
    species: Sequence[Species],
    reaction: Sequence[Reaction],
    *,
    free_energy: Sequence[Term] = (Ideal(),),
    mobility: Mobility | None = None,
    **given: Any,
) -> System:
    """A mixture that starts uniform and reacts."""
    names = [s.name for s in species if not s.balance]
    return System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=4),
            species=species,
            free_energy=free_energy,
            mobility=mobility or Fick(diffusivities=dict.fromkeys(names, D)),
            reaction=reaction,
            **given,
        )
    )


A_TO_B = Reaction(stoichiometry={"A": -1, "B": 1}, rate="2*A")


@pytest.mark.parametrize(("scheme", "order"), [("backward-euler", 1), ("convex-split", 1), ("avf", 2), ("bdf2", 2)])
def test_first_order_decay(scheme: str, order: int) -> None:
    """A = A_0 exp(-k t), B the rest of it."""

    def error(steps: int) -> float:
        species = [Species(name="A", initial=0.6), Species(name="B", initial=0.1)]
        system = stirred(species, [A_TO_B], time=Time(end=1.0, step=1 / steps, scheme=scheme))
        run(system)
        A, B = system.concentrations.T
        assert pytest.approx(0.7, rel=1e-13) == A + B
        return float(global_max(system.comm, np.abs(A - 0.6 * np.exp(-2.0))))

    assert np.log2(error(40) / error(80)) == pytest.approx(order, abs=0.1)


@FORMULATIONS
def test_equilibrium_of_a_reaction_of_fractions(formulation: str) -> None:
    """A + B <-> 2 C, with C the balance: k A B = k' C^2 at A - B as it was, so A = B + d and k (B + d) B = k' (1 - d - 2 B)^2."""
    forward, back, a, b = 3.0, 1.0, 0.5, 0.2
    reaction = Reaction(stoichiometry={"A": -1, "B": -1, "C": 2}, rate=f"{forward}*A*B - {back}*C**2")
    species = [Species(name="A", initial=a), Species(name="B", initial=b), Species(name="C", balance=True)]
    mobility = MaxwellStefan(diffusivities={"A-B": 1.0, "A-C": 2.0, "B-C": 0.5})
    system = stirred(species, [reaction], mobility=mobility, formulation=formulation, time=Time(end=50.0, tolerance=1e-3))
    run(system)
    d = a - b
    roots = np.roots([forward - 4 * back, forward * d + 4 * back * (1 - d), -back * (1 - d) ** 2])
    B = next(root for root in roots if 0 < root < (1 - d) / 2)
    assert system.concentrations[:, 1] == pytest.approx(B, rel=1e-8)
    assert system.concentrations[:, 0] == pytest.approx(B + d, rel=1e-8)


def test_equilibrium_of_a_reaction_of_dilute_species() -> None:
    """A + B <-> C: k A B = k' C at A - B and A + C as they were; nothing closes, so the numbers of the reaction need not either."""
    K, a, b, c = 5.0, 0.4, 0.3, 0.05
    reaction = Reaction(stoichiometry={"A": -1, "B": -1, "C": 1}, rate=f"{K}*A*B - C")
    species = [Species(name=name, initial=value) for name, value in (("A", a), ("B", b), ("C", c))]
    system = stirred(species, [reaction], time=Time(end=50.0))
    run(system)
    extent = brentq(lambda e: K * (a - e) * (b - e) - (c + e), 0.0, b)
    assert system.concentrations == pytest.approx(
        np.broadcast_to([a - extent, b - extent, c + extent], system.concentrations.shape), rel=1e-8
    )


def test_arrhenius_rate_in_units() -> None:
    """k = 1e3 exp(-5000 K/T) 1/s at 1000 K is 6.738 1/s, whatever the solver's units are."""
    end = 0.2
    species = [Species(name="A", initial=0.6), Species(name="B", initial=0.1), Species(name="C", balance=True)]
    system = System(
        Problem(
            temperature="1000 K",
            molar_volume="1e-5 m^3/mol",
            mesh=Mesh(shape="interval", size="1 mm", cells=4),
            species=species,
            free_energy=[Ideal()],
            mobility=MaxwellStefan(diffusivities={"A-B": "1e-9 m^2/s", "A-C": "2e-9 m^2/s", "B-C": "1e-9 m^2/s"}),
            reaction=[Reaction(stoichiometry={"A": -1, "B": 1}, rate="1e3*exp(-5000/T)*A")],
            time=Time(end=f"{end} s", tolerance=1e-6),
        )
    )
    run(system)
    k = 1e3 * np.exp(-5.0)
    assert k == pytest.approx(6.738, abs=1e-3)
    assert system.concentrations[:, 0] == pytest.approx(0.6 * np.exp(-k * end), rel=1e-4)


def test_rate_depends_on_place_and_time() -> None:
    """Without diffusion to speak of every place reacts by itself: A = A_0 exp(-(1 + x) t^2/2)."""
    system = slab(
        {},
        mobility=Fick(diffusivities={"A": 1e-12}),
        reaction=[Reaction(stoichiometry={"A": -1}, rate="(1 + x)*t*A")],
        end=1.0,
        tolerance=1e-6,
    )
    run(system)
    assert system.concentrations[:, 0] == pytest.approx(0.5 * np.exp(-(1 + system.formulation.x[0]) / 2), rel=1e-4)


@pytest.mark.parametrize("phi", [1.0, 3.0])
def test_thiele_modulus(phi: float) -> None:
    """c = cosh(phi x)/cosh(phi), phi^2 = k/D: the pellet works at the fraction tanh(phi)/phi of its rate (Thiele, Ind. Eng. Chem. 31 (1939) 916)."""
    k, surface = phi**2 * D, 0.5

    def errors(cells: int) -> tuple[float, float]:
        system = slab(
            {"right": Boundary(concentration={"A": surface})},
            initial=surface,
            cells=cells,
            reaction=[Reaction(stoichiometry={"A": -1}, rate=f"{k!r}*A")],
            **AT_ONCE,
        )
        last = steady(system)
        exact = surface * np.cosh(phi * system.formulation.x[0]) / np.cosh(phi)
        effectiveness = -last.fluxes["A", "right"] / (k * surface)
        return float(global_max(system.comm, np.abs(system.concentrations[:, 0] - exact))), abs(effectiveness * phi / np.tanh(phi) - 1)

    coarse, fine = errors(16), errors(32)
    for a, b in zip(coarse, fine, strict=True):
        assert np.log2(a / b) == pytest.approx(2.0, abs=0.05)
    assert (
        max(fine) < (phi / 32) ** 2 / 8
    )  # of the discrete effectiveness, tanh(N theta)/phi sqrt(1 + (phi h)^2/4), 2 sinh(theta/2) = phi h


@FORMULATIONS
def test_reaction_that_closes_conserves_the_sum(formulation: str) -> None:
    """A -> B where x is small, with diffusion: the masses of A and B together, and so that of C, stay."""
    species = [Species(name="A", initial="0.3 + 0.2*cos(pi*x)"), Species(name="B", initial=0.2), Species(name="C", balance=True)]
    mobility = MaxwellStefan(diffusivities={"A-B": 1.0, "A-C": 2.0, "B-C": 0.5})
    reaction = Reaction(stoichiometry={"A": -1, "B": 1}, rate="where(x < 0.5, 3*A, 0)")
    system = stirred(species, [reaction], mobility=mobility, formulation=formulation, time=Time(end=0.3, tolerance=1e-2))
    integrator = Integrator(system)
    start = system.masses()
    for _ in integrator.steps():
        assert system.masses().sum() == pytest.approx(start.sum(), rel=1e-13)
    assert system.masses()[0] < 0.9 * start[0]
    assert global_sum(system.comm, system.volume.sum()) == pytest.approx(1.0)
