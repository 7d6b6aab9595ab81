"""Uphill fluxes, dissipation and local stability of states whose numbers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from fem_diffusion import Composition, Constant, DoubleWell, Mesh, Problem, RegularSolution, Species, Time
from fem_diffusion.free_energy import Quadratic
from fem_diffusion.parallel import global_max, global_min, global_sum
from fem_diffusion.pointwise import LocalDensity
from fem_diffusion.system import System
from fem_diffusion.uphill import UphillMap, factors_of, mixes_all, stability_fields

COMM, SELF = MPI.COMM_WORLD, MPI.COMM_SELF


def by_hand(volumes: Any, gradients: dict[str, Any], fluxes: dict[str, Any], dissipation: Any = 1.0) -> UphillMap:
    volumes = np.array(volumes, dtype=float)
    gradients, fluxes = ({name: np.array(v, dtype=float) for name, v in vectors.items()} for vectors in (gradients, fluxes))
    return UphillMap.of(SELF, volumes, gradients, fluxes, np.broadcast_to(dissipation, volumes.shape), dict.fromkeys(fluxes, 1.0))


# --- the map


def test_a_species_at_rest_among_others_goes_nowhere() -> None:
    """What round-off leaves of its flux may point uphill; a trace that moves as fast as the others does go there."""
    g, one = np.array([[2.0]]), np.array([1.0])
    for J, means, uphill in ((1e-9, {"A": 0.5, "B": 0.5}, 0.0), (1e-9, {"A": 0.5, "B": 1e-9}, 1.0)):
        uphill_map = UphillMap.of(SELF, one, {"A": g, "B": g}, {"A": -g, "B": J * g}, one, means)
        assert uphill_map.flux_fractions == {"A": 0.0, "B": uphill}


def test_cells_by_hand() -> None:
    """Three cells: one uphill, one downhill, one with J across grad c, in which nothing is uphill."""
    uphill = by_hand([1.0, 2.0, 5.0], {"A": [[3, 4], [3, 4], [3, 4]]}, {"A": [[0.3, 0.4], [-0.6, -0.8], [0.4, -0.3]]})
    assert uphill.product["A"] == pytest.approx([2.5, -5.0, 0.0], abs=1e-15)
    assert uphill.mask["A"].tolist() == [True, False, False]
    assert uphill.positive["A"] == pytest.approx([2.5, 0.0, 0.0])
    assert uphill.volume_fractions == {"A": pytest.approx(1 / 8)}
    assert uphill.flux_fractions == {"A": pytest.approx(0.5 / (0.5 + 2 * 1.0 + 5 * 0.5))}


def test_toor_regions_of_a_ternary_gas() -> None:
    """H2 (1), N2 (2), CO2 (3) at x = (0.25, 0.5, 0.25): D = B^-1 of Maxwell and Stefan, D_ij in m^2/s and the result to three digits from
    Krishna & Wesselingh, Chem. Eng. Sci. 52 (1997) 861.

    With J = -D g, N2 diffuses osmotically where it has no gradient, uphill against a small one, and at D_21 g_1 + D_22 g_2 = 0 it stands
    at Toor's barrier.
    """
    x, D12, D13, D23 = (0.25, 0.5, 0.25), 8.33e-5, 6.8e-5, 1.68e-5
    B = [
        [x[0] / D13 + x[1] / D12 + x[2] / D13, -x[0] * (1 / D12 - 1 / D13)],
        [-x[1] * (1 / D12 - 1 / D23), x[1] / D23 + x[0] / D12 + x[2] / D23],
    ]
    D = np.linalg.inv(B)
    assert pytest.approx(np.array([[7.68e-5, -0.11e-5], [-3.83e-5, 2.15e-5]]), abs=0.006e-5) == D
    barrier = -D[1, 0] / D[1, 1]  # 1.779
    g = np.array([[1, 0.1], [1, 1.77], [1, 1.79], [1, -1.0], [1, 0.0]])
    J = -g @ D.T
    names = ("H2", "N2", "CO2")
    g, J = np.column_stack([g, -g.sum(axis=1)]), np.column_stack([J, -J.sum(axis=1)])
    uphill = by_hand(np.ones(5), {n: g[:, [k]] for k, n in enumerate(names)}, {n: J[:, [k]] for k, n in enumerate(names)}, 1e-4)
    assert 1.77 < barrier < 1.79
    assert uphill.mask["H2"].tolist() == [False] * 5
    assert uphill.mask["N2"].tolist() == [True, True, False, False, False]
    assert uphill.mask["CO2"].tolist() == [False] * 5
    total = np.abs(J[:, 1]).sum()
    assert uphill.flux_fractions["N2"] == pytest.approx(np.abs(J[:2, 1]).sum() / total, rel=1e-12)
    assert uphill.volume_fractions["N2"] == pytest.approx(0.4, rel=1e-12)


def test_round_off_is_not_uphill() -> None:
    """Noise in c, and noise in mu where c varies; a trace of 1e-9 that goes uphill is no noise."""
    rng = np.random.default_rng(4)
    noise = {"A": rng.normal(size=(50, 2))}
    h, volumes = 0.01, np.full(50, 1e-4)
    uniform = by_hand(volumes, {"A": 1e-16 / h * noise["A"]}, {"A": 1e-16 / h * noise["A"]}, 1e-32 / h**2)
    resting = by_hand(volumes, {"A": 5 * noise["A"]}, {"A": 1e-13 / h * noise["A"]}, 1e-26 / h**2)
    trace = by_hand(volumes, {"A": 1e-9 * noise["A"]}, {"A": 1e-9 * noise["A"]}, 1e-9)
    assert not uniform.mask["A"].any() and not resting.mask["A"].any()
    assert uniform.flux_fractions == resting.flux_fractions == {"A": 0.0}
    assert trace.mask["A"].all()
    assert trace.flux_fractions == {"A": 1.0}
    # at the osmotic point a flux runs through a uniform species: up what round-off leaves of a gradient
    osmotic = by_hand(volumes, {"A": 1e-16 / h * noise["A"]}, {"A": noise["A"]})
    assert not osmotic.mask["A"].any()
    still = by_hand(volumes, {"A": np.zeros((50, 2))}, {"A": np.zeros((50, 2))}, 0.0)
    assert still.flux_fractions == still.volume_fractions == {"A": 0.0}


def test_all_ranks_together() -> None:
    """Rank r has a cell of volume r + 1, uphill on the last rank alone, and a rank may have none."""
    r, size = COMM.rank, COMM.size
    sign = 1.0 if r == size - 1 else -1.0
    g = np.array([[1.0]])
    uphill = UphillMap.of(COMM, np.array([r + 1.0]), {"A": g}, {"A": sign * g}, np.array([1.0]), {"A": 0.5})
    assert uphill.volume_fractions["A"] == pytest.approx(size / (size * (size + 1) / 2))
    cells = 1 if r == 0 else 0
    sparse = UphillMap.of(COMM, np.ones(cells), {"A": g[:cells]}, {"A": g[:cells]}, np.ones(cells), {"A": 0.5})
    assert sparse.flux_fractions == {"A": 1.0}


# --- of a model


def regular_solution(chi: float, initial: str | float, **options: Any) -> System:
    """On an interval, with constant mobility and no gradient energy."""
    return System(
        Problem(
            mesh=Mesh(shape="interval", size=1.0, cells=400),
            species=[Species(name="A", initial=initial), Species(name="B", balance=True)],
            free_energy=[RegularSolution(chi=chi)],
            mobility=Constant(value=1.0),
            time=Time(end=1.0),
            **options,
        )
    )


def test_uphill_is_the_spinodal() -> None:
    """Without gradient energy J = -M f'' grad c: uphill exactly where f'' < 0, c = (1 -+ sqrt(1 - 2/chi))/2 = 0.21132, 0.78868 at chi = 3.

    On the profile 0.05 + 0.9 x, so in (0.78868 - 0.21132)/0.9 = 0.64150 of the interval.
    """
    system = regular_solution(3.0, "0.05 + 0.9*x")
    system.initialise()
    uphill = system.uphill_map()
    low, high = (1 - np.sqrt(1 / 3)) / 2, (1 + np.sqrt(1 / 3)) / 2
    for name in "AB":
        assert uphill.volume_fractions[name] == pytest.approx((high - low) / 0.9, abs=1 / 400)
        assert 0 < uphill.flux_fractions[name] < 1
    # the share of the flux: int |f''| dx over the spinodal by that over all, f' = ln(c/(1-c)) + 3 (1 - 2c)
    drops = np.abs(np.diff([np.log(c / (1 - c)) + 3 * (1 - 2 * c) for c in (0.05, low, high, 0.95)]))
    assert uphill.flux_fractions["A"] == pytest.approx(drops[1] / drops.sum(), abs=1e-3)

    c = system.concentrations
    spinodal = stability_fields(system.local_density, c)["spinodal"]
    assert np.array_equal(spinodal == 1, ((low < c) & (c < high))[:, 0])


def test_ideal_diffusion_is_nowhere_uphill() -> None:
    system = regular_solution(0.0, "0.5 + 0.45*sin(7*x)")
    system.initialise()
    uphill = system.uphill_map()
    assert uphill.flux_fractions == uphill.volume_fractions == {"A": 0.0, "B": 0.0}
    assert all(np.all(product <= 0) for product in uphill.product.values())


@pytest.mark.parametrize("chi", [1.0, 3.0])
def test_equilibrium(chi: float) -> None:
    """A uniform mixture, stable or not, has no flux, dissipates nothing and goes nowhere."""
    system = regular_solution(chi, 0.4)
    system.initialise()
    uphill = system.uphill_map()
    assert global_max(COMM, np.abs(uphill.dissipation)) < 1e-20
    assert uphill.volume_fractions == uphill.flux_fractions == {"A": 0.0, "B": 0.0}


def test_dissipation_of_a_cell() -> None:
    """sigma = M (f'' c')^2 >= 0 for a linear profile; its sum is the rate at which the energy falls."""
    system = regular_solution(2.5, "0.3 + 0.4*x")
    system.initialise()
    uphill = system.uphill_map()
    sigma = uphill.dissipation
    assert global_min(COMM, sigma) >= 0
    c = 0.3 + 0.4 * (np.arange(400) + 0.5) / 400
    expected = ((1 / c + 1 / (1 - c) - 5) * 0.4) ** 2
    assert global_sum(COMM, uphill.volumes @ sigma) == pytest.approx(expected.mean(), rel=1e-4)


# --- the local free energy


def density(*terms: Any, names: tuple[str, ...] = ("A",), balance: str | None = None) -> LocalDensity:
    return LocalDensity(terms, Composition(names, (0.0,) * len(names), balance))


def test_thermodynamic_factor_of_a_binary() -> None:
    """Gamma = c (1-c) f'' = 1 - 2 chi c (1-c), negative in the spinodal; f'' = 1/c + 1/(1-c) - 2 chi. Also at the ends, where f'' is infinite."""
    c = np.array([0.0, 1e-12, 1e-3, 0.2, 0.3, 0.5, 0.9, 1 - 1e-12, 1.0])
    fields = stability_fields(density(RegularSolution(chi=3.0)), c[:, None])
    assert fields["thermodynamic_factor_1"] == pytest.approx(1 - 6 * c * (1 - c), abs=1e-7)
    inner = c[2:7]
    assert fields["curvature"][2:7] == pytest.approx(1 / inner + 1 / (1 - inner) - 6, rel=1e-12)
    assert fields["spinodal"].tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0]


def test_factors_of_of_a_ternary() -> None:
    """Against the general eigenvalues of S H, with H of the regular solution by hand."""
    rng = np.random.default_rng(5)
    c = rng.dirichlet(np.ones(3), size=40)[:, :2].T
    chi = {"A-B": 2.0, "A-C": -1.0, "B-C": 1.5}
    f = density(RegularSolution(chi=chi), names=("A", "B"), balance="C")
    fields = stability_fields(f, c.T)
    S = np.array([np.diag(x) - np.outer(x, x) for x in c.T])
    # d2f/dc_i dc_j of sum x ln x + sum chi x x with x_C = 1 - x_A - x_B
    rest = 1 / (1 - c.sum(axis=0))
    cross = rest + chi["A-B"] - chi["A-C"] - chi["B-C"]
    H = np.array([[1 / c[0] + rest - 2 * chi["A-C"], cross], [cross, 1 / c[1] + rest - 2 * chi["B-C"]]])
    expected = np.sort(np.linalg.eigvals(S @ np.moveaxis(H, -1, 0)).real, axis=1)
    found = np.stack([fields["thermodynamic_factor_1"], fields["thermodynamic_factor_2"]], axis=1)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    lowest = np.linalg.eigvalsh(np.moveaxis(H, -1, 0))[:, 0]
    assert fields["curvature"] == pytest.approx(lowest, rel=1e-9, abs=1e-9)
    assert np.array_equal(fields["spinodal"] == 1, lowest < 0)
    # Gamma and H have as many negative eigenvalues (Sylvester)
    assert np.array_equal(found[:, 0] < 0, lowest < 0)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_factors_of_an_ideal_mixture_are_one(n: int) -> None:
    """Also at the corners and faces of the simplex, where H is infinite."""
    names = tuple("ABCD"[:n])
    rng = np.random.default_rng(6)
    c = np.vstack([rng.dirichlet(np.ones(n + 1), size=20)[:, :n], np.eye(n), np.zeros((1, n)), np.full((1, n), 1 / n)])
    fields = stability_fields(
        density(RegularSolution(chi={"A-E": 0.0}) if n > 1 else RegularSolution(chi=0.0), names=names, balance="E"), c
    )
    for k in range(1, n + 1):
        assert fields[f"thermodynamic_factor_{k}"] == pytest.approx(1.0, abs=1e-6)


def test_factors_of_any_matrix() -> None:
    rng = np.random.default_rng(7)
    c = rng.dirichlet(np.ones(5), size=30)[:, :4].T
    H = rng.normal(size=(4, 4, 30))
    H = H + np.swapaxes(H, 0, 1)
    S = np.array([np.diag(x) - np.outer(x, x) for x in c.T])
    expected = np.linalg.eigvals(S @ np.moveaxis(H, -1, 0))
    assert np.abs(expected.imag).max() < 1e-9
    assert factors_of(c, H) == pytest.approx(np.sort(expected.real, axis=1), abs=1e-9)


def test_energies_without_entropy_have_no_thermodynamic_factor() -> None:
    """f'' = rho (12 c^2 - 12 c + 2) of the double well: spinodal (1 -+ 1/sqrt 3)/2; and a matrix of order parameters of either sign."""
    c = np.linspace(-0.3, 1.3, 33)
    well = stability_fields(density(DoubleWell(rho=2.0)), c[:, None])
    assert list(well) == ["curvature", "spinodal"]
    assert well["curvature"] == pytest.approx(2 * (12 * c**2 - 12 * c + 2), abs=1e-12)
    a = ((2.0, 1.0), (1.0, 3.0))
    quadratic = stability_fields(density(Quadratic(matrix=a), names=("u", "v")), np.array([[-1.0, 2.0], [3.0, -4.0]]))
    assert quadratic["curvature"] == pytest.approx([(5 - np.sqrt(5)) / 2] * 2, rel=1e-12)
    assert quadratic["spinodal"].tolist() == [0, 0]
    assert not mixes_all(density(DoubleWell(rho=2.0)))


def test_temperature() -> None:
    """chi = 3 at the reference temperature is 2 at 3/2 of it: critical; the curvature stays in units of RT_ref/V_m."""
    c = np.array([[0.5], [0.5], [0.5]])
    fields = stability_fields(density(RegularSolution(chi=3.0)), c, np.array([1.0, 1.5, 2.0]))
    assert fields["thermodynamic_factor_1"] == pytest.approx([1 - 3 / 2, 0.0, 1 - 1.5 / 2], abs=1e-12)
    assert fields["curvature"] == pytest.approx([4 - 6, 0.0, 2 * 4 - 6], abs=1e-12)
