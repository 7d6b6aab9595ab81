"""Mobilities against printed matrices, numpy's solution of the equations they are defined by, and closed forms."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest

from fem_diffusion.admissible import check_positive, sample_compositions
from fem_diffusion.diffusivity import Arrhenius
from fem_diffusion.errors import InputError
from fem_diffusion.mobility import Constant, Darken, Degenerate, Fick, MaxwellStefan, Mobility, MobilityOfForces, Onsager, Stirring
from fem_diffusion.pointwise import mobility_matrix
from fem_diffusion.record import keys
from fem_diffusion.state import Composition
from fem_diffusion.units import Scales, in_solver_units

pytestmark = pytest.mark.serial

BINARY = Composition(("A",), (0.0,), "B")
TERNARY = Composition(("A", "B"), (0.0, 0.0), "C")
NAMELESS = Composition(("A", "B"), (0.0, 0.0))


def mixture(components: int, seed: int) -> tuple[MaxwellStefan, Composition, np.ndarray, np.ndarray]:
    """Names, all D_kl within two decades as a symmetric matrix, and fractions of all components, the balance last."""
    random = np.random.default_rng(seed)
    names = [f"s{k}" for k in range(components)]
    D = np.zeros((components, components))
    for k, l in combinations(range(components), 2):
        D[k, l] = D[l, k] = 10 ** random.uniform(-1, 1)
    x = random.dirichlet(np.ones(components))
    mobility = MaxwellStefan(diffusivities={f"{names[k]}-{names[l]}": D[k, l] for k, l in combinations(range(components), 2)})
    return mobility, Composition(tuple(names[:-1]), tuple(x[:-1]), names[-1]), x, D


def entropy_matrix(c: np.ndarray) -> np.ndarray:
    return np.diag(c) - np.outer(c, c)


def flux_operator(mobility: MobilityOfForces, c: Composition, closed: bool) -> np.ndarray:
    """A in J = -A d, column by column."""
    return np.array([mobility.fluxes(c, list(-unit), closed) for unit in np.eye(len(c))], dtype=float).T


# -- Maxwell-Stefan ------------------------------------------------------------------------------------------------------------

# Krishna & Wesselingh, Chem. Eng. Sci. 52 (1997) 861: H2, N2, CO2, in m^2/s; they print three digits, numpy gave the others.
GASES = MaxwellStefan(diffusivities={"H2-N2": 8.33e-5, "H2-CO2": 6.8e-5, "CO2-N2": 1.68e-5})
AT = np.array([0.25, 0.5])
OF_GASES = Composition(("H2", "N2"), tuple(AT), "CO2")


def test_fick_matrix_of_krishna_and_wesselingh():
    D = flux_operator(GASES, OF_GASES, closed=True)
    np.testing.assert_allclose(D, [[7.68132147e-5, -1.08869123e-6], [-3.83058026e-5, 2.15318933e-5]], rtol=1e-8)
    np.testing.assert_allclose(D * 1e5, [[7.68, -0.11], [-3.832, 2.16]], atol=0.01)  # as printed
    B = [[13355.34213685, 675.27010804], [23759.50380152, 47644.05762305]]
    np.testing.assert_allclose(np.linalg.inv(D), B, rtol=0, atol=5e-9)  # all digits
    np.testing.assert_allclose(np.array(B) / 1e5, [[0.134, 0.007], [0.237, 0.476]], atol=0.001)  # as printed
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(D)), [2.07875348e-5, 7.75575732e-5], rtol=1e-8)
    assert D[1, 0] / D[0, 0] == pytest.approx(-0.4986876640, rel=1e-9)  # N2 flows without a gradient of its own


def test_onsager_matrix_of_these_gases():
    L = mobility_matrix(GASES, OF_GASES, AT[:, None])[..., 0]
    np.testing.assert_allclose(L, [[1.45385642e-5, -9.87382465e-6], [-9.87382465e-6, 1.01711986e-5]], rtol=1e-8)
    np.testing.assert_allclose(L.sum(axis=0), [4.66473952e-6, 2.97373994e-7], rtol=1e-8)  # minus those of the balance
    assert L.sum() == pytest.approx(4.96211351e-6, rel=1e-8)


def test_non_ideal_liquid_of_krishna_and_wesselingh():
    """Acetone, benzene, carbon tetrachloride at (0.35, 0.35, 0.3); [D] = [B]^-1 [Gamma], their own B_12 being off by a sign."""
    liquid = MaxwellStefan(diffusivities={"acetone-benzene": 3.4, "acetone-CCl4": 2.5, "benzene-CCl4": 1.7})
    c = Composition(("acetone", "benzene"), (0.35, 0.35), "CCl4")
    D = flux_operator(liquid, c, closed=True) @ [[0.69, -0.13], [0.07, 1.05]]
    np.testing.assert_allclose(D, [[1.9282, -0.5919], [-0.2648, 2.2892]], atol=5e-5)


@pytest.mark.parametrize("components", [2, 3, 4, 5, 8])
def test_friction_equations(components: int):
    """n + 1 friction equations and sum J = 0 by least squares, for random forces with sum d = 0."""
    for seed in range(20):
        mobility, c, x, D = mixture(components, seed)
        friction = np.array(
            [
                [sum(x[m] / D[k, m] for m in range(components) if m != k) if k == l else -x[k] / D[k, l] for l in range(components)]
                for k in range(components)
            ]
        )
        d = np.random.default_rng(seed).normal(size=components)
        d -= d.mean()
        expected, *_ = np.linalg.lstsq(np.vstack([friction, np.ones(components)]), [*-d, 0.0], rcond=None)
        np.testing.assert_allclose(mobility.fluxes(c, list(d[:-1]), closed=True), expected[:-1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("components", [3, 4, 5, 8])
def test_maxwell_stefan_is_symmetric_and_dissipates(components: int):
    for seed in range(20):
        mobility, c, _, _ = mixture(components, seed)
        L = np.array(mobility.matrix(c), dtype=float)
        np.testing.assert_allclose(L, L.T, rtol=0, atol=1e-14 * np.abs(L).max())
        assert np.linalg.eigvalsh(L)[0] > 0


@pytest.mark.parametrize("components", [3, 4, 5, 8])
def test_any_component_can_be_the_balance(components: int):
    """With the row and the column that make all sums zero, L is the same matrix of all components."""
    mobility, c, x, _ = mixture(components, 0)
    names = [*c.names, c.balance]

    def whole(order: list[int]) -> np.ndarray:
        *independent, balance = order
        of = Composition(tuple(names[k] for k in independent), tuple(x[independent]), names[balance])
        to_all = np.vstack([np.eye(components - 1), -np.ones(components - 1)])
        L = to_all @ np.array(mobility.matrix(of), dtype=float) @ to_all.T
        back = np.argsort(order)
        return L[np.ix_(back, back)]

    expected = whole(list(range(components)))
    np.testing.assert_allclose(expected.sum(axis=1), 0, atol=1e-14 * np.abs(expected).max())
    orders = [order for order in permutations(range(components)) if sorted(order[:-1]) == list(order[:-1])]
    for order in orders:
        np.testing.assert_allclose(whole(list(order)), expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_the_solver_and_numpy_see_the_same_numbers():
    """UFL, evaluated at many compositions, and the same formula on numbers."""
    mobility, c, x, _ = mixture(5, 3)
    points = np.array([x[:-1], np.full(4, 0.2)]).T
    L = mobility_matrix(mobility, c, points)
    for k in range(2):
        np.testing.assert_allclose(L[..., k], np.array(mobility.matrix(c.with_values(points[:, k])), dtype=float), rtol=1e-13)


def test_pure_corners_and_empty_edges_have_fluxes():
    mobility, c, _, D = mixture(4, 1)
    for k in range(3):
        corner = np.eye(3)[k]
        A = flux_operator(mobility, c.with_values(corner), closed=True)
        dilute = [j for j in range(3) if j != k]
        np.testing.assert_allclose(A[np.ix_(dilute, dilute)], np.diag(D[k, dilute]), rtol=1e-13, atol=1e-14)
    A = flux_operator(mobility, c.with_values(np.zeros(3)), closed=True)
    np.testing.assert_allclose(A, np.diag(D[3, :3]), rtol=1e-13)


@pytest.mark.parametrize("components", [2, 3, 5])
def test_stagnant_balance(components: int):
    """The friction equations of the moving components with N = 0 of the last one, and the last equation as a check."""
    mobility, c, x, D = mixture(components, 7)
    stagnant = MaxwellStefan(diffusivities=mobility.diffusivities, stagnant=c.balance)
    stagnant.check_species(c)
    n = components - 1
    d = np.random.default_rng(1).normal(size=n)
    N = np.array([*stagnant.fluxes(c, list(d), closed=True), 0.0], dtype=float)
    friction = [sum((x[l] * N[k] - x[k] * N[l]) / D[k, l] for l in range(components) if l != k) for k in range(components)]
    np.testing.assert_allclose(friction, [*-d, d.sum()], rtol=1e-11, atol=1e-13)


def test_stefan_diffusion_is_that_of_the_molar_frame_with_a_drift():
    """N_i = J_i + x_i sum_k N_k, with N_s = 0 (Taylor & Krishna 1993, eq. 1.2.9); in a binary N = J/(1 - x)."""
    mobility, c, x, _ = mixture(4, 2)
    stagnant = MaxwellStefan(diffusivities=mobility.diffusivities, stagnant=c.balance)
    d = [0.3, -1.0, 0.4]
    J = np.array(mobility.fluxes(c, d, closed=True), dtype=float)
    N = np.array(stagnant.fluxes(c, d, closed=True), dtype=float)
    np.testing.assert_allclose(N, J + x[:-1] * J.sum() / x[-1], rtol=1e-12)
    np.testing.assert_allclose(N, J + x[:-1] * N.sum(), rtol=1e-12)


def test_the_mobility_of_a_stagnant_frame_is_no_onsager_matrix():
    stagnant = MaxwellStefan(diffusivities=GASES.diffusivities, stagnant="CO2")
    L = np.array(stagnant.matrix(OF_GASES), dtype=float)
    assert abs(L[0, 1] - L[1, 0]) > 0.1 * np.abs(L).max()
    assert GASES.symmetric and not stagnant.symmetric


# -- the others ----------------------------------------------------------------------------------------------------------------

C = np.array([0.2, 0.5])
AT_C = TERNARY.with_values(tuple(C))
D_FICK, D_DARKEN = {"A": 2.0, "B": 0.5}, {"A": 2.0, "B": 0.5, "C": 3.0}

MODELS: dict[str, tuple[MobilityOfForces, np.ndarray]] = {
    "Fick": (Fick(diffusivities=D_FICK), np.diag([2.0 * 0.2, 0.5 * 0.5])),
    "Stirring": (Stirring(diffusivity=1.5), 1.5 * np.array([[0.16, -0.1], [-0.1, 0.25]])),
    # (1 - x 1^T) diag(D x) (1 - 1 x^T) without the balance: what the lattice sees, taken to the laboratory
    "Darken": (
        Darken(diffusivities=D_DARKEN),
        (lambda x, P: (P @ np.diag(x * [2.0, 0.5, 3.0]) @ P.T)[:2, :2])(
            np.array([0.2, 0.5, 0.3]), np.eye(3) - np.outer([0.2, 0.5, 0.3], np.ones(3))
        ),
    ),
    "MaxwellStefan": (
        MaxwellStefan(diffusivities={"A-B": 1.0, "A-C": 1.0, "B-C": 1.0}),
        entropy_matrix(C),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_mobility_and_fluxes_state_the_same(name: str):
    """L = A S for both kinds of entropy, L in closed form."""
    mobility, expected = MODELS[name]
    np.testing.assert_allclose(mobility_matrix(mobility, TERNARY, C[:, None])[..., 0], expected, rtol=1e-14)
    np.testing.assert_allclose(flux_operator(mobility, AT_C, closed=True) @ entropy_matrix(C), expected, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(flux_operator(mobility, AT_C, closed=False) @ np.diag(C), expected, rtol=1e-13, atol=1e-16)


def test_fick_with_sites_for_all():
    """J_i = -D_i (grad c_i + c_i grad(sum c)/c_0): point particles in a lattice gas (Kilic, Bazant & Ajdari 2007)."""
    d = np.array([0.7, -0.3])
    J = Fick(diffusivities=D_FICK).fluxes(AT_C, list(d), closed=True)
    np.testing.assert_allclose(J, [-2.0 * (0.7 + 0.2 / 0.3 * 0.4), -0.5 * (-0.3 + 0.5 / 0.3 * 0.4)], rtol=1e-14)


def test_equal_diffusivities_make_one_model():
    stirred = np.array(Stirring(diffusivity=1.7).matrix(AT_C), dtype=float)
    for mobility in (
        Darken(diffusivities=dict.fromkeys("ABC", 1.7)),
        MaxwellStefan(diffusivities=dict.fromkeys(("A-B", "A-C", "B-C"), 1.7)),
    ):
        np.testing.assert_allclose(np.array(mobility.matrix(AT_C), dtype=float), stirred, rtol=1e-14)


def test_binaries():
    x = np.linspace(0.0, 1.0, 11)
    D_A, D_B, Gamma = 1.0, 4.0, 1 - 2 * 1.3 * x * (1 - x)
    gas = mobility_matrix(MaxwellStefan(diffusivities={"B-A": 2.5}), BINARY, [x])[0, 0]
    np.testing.assert_allclose(gas, 2.5 * x * (1 - x), rtol=1e-14)
    alloy = Darken(diffusivities={"A": D_A, "B": D_B})
    c = BINARY.with_values((x,))
    (J,) = alloy.fluxes(c, [Gamma], closed=True)  # of a unit gradient
    np.testing.assert_allclose(J, -((1 - x) * D_A + x * D_B) * Gamma, rtol=1e-14)
    np.testing.assert_allclose(alloy.lattice_velocity(c, [Gamma]), (D_A - D_B) * Gamma, rtol=1e-14)


def test_lattice_velocity_is_minus_what_the_lattice_sees_pass():
    d = np.array([0.4, -1.0, 0.6])
    v = Darken(diffusivities=D_DARKEN).lattice_velocity(AT_C, list(d[:2]))
    assert v == pytest.approx(np.dot([2.0, 0.5, 3.0], d), rel=1e-14)


def test_arrhenius():
    """D = D_0 exp(-Q/RT); RT = 8.314462618 J/(mol K) * 1000 K."""
    D = Arrhenius(prefactor="1e-5 m^2/s", activation_energy="200 kJ/mol")
    scales = Scales.of(length=1e-9, time=1e-3, energy_density=8.314462618e3 / 1e-5, amount=1e-27 / 1e-5)  # RT is one at 1000 K
    in_solver = in_solver_units(Degenerate(diffusivity=D), scales)
    for T, expected in ((1000.0, 1e-5 * math.exp(-200e3 / 8314.462618)), (1200.0, 1e-5 * math.exp(-200e3 / 9977.3551416))):
        L = mobility_matrix(in_solver.at_temperature(T / 1000.0), BINARY, [[0.5]])[0, 0, 0]
        np.testing.assert_allclose(L * 1e-18 / 1e-3, expected / 4, rtol=1e-12)


@pytest.mark.parametrize(
    ("mobility", "c", "of"),
    [
        (Stirring(diffusivity=1.0), TERNARY, ("diffusivity",)),
        (Fick(diffusivities=D_FICK), TERNARY, ("diffusivities", "A")),
        (Darken(diffusivities=D_DARKEN), TERNARY, ("diffusivities", "C")),
        (GASES, OF_GASES, ("diffusivities", "H2-N2")),
    ],
)
def test_every_diffusivity_may_depend_on_temperature(mobility: Mobility, c: Composition, of: tuple[str, ...]):
    law = Arrhenius(prefactor=3.0, activation_energy=2.0)

    def with_value(value: object) -> Mobility:
        field, *key = of
        return type(mobility)(**{**dict(mobility), field: {**getattr(mobility, field), key[0]: value} if key else value})

    L = mobility_matrix(with_value(law).at_temperature(1.25), c, [[0.25], [0.5]])
    expected = mobility_matrix(with_value(3.0 * math.exp(-2.0 / 1.25)), c, [[0.25], [0.5]])
    np.testing.assert_allclose(L, expected, rtol=1e-14)


# -- Onsager -------------------------------------------------------------------------------------------------------------------


def test_onsager_of_numbers_and_expressions():
    mobility = Onsager(matrix=[[2.0, "-A*B"], ["-A*B", "3*C + 0.5"]])
    mobility.check_species(TERNARY)
    L = mobility_matrix(mobility, TERNARY, C[:, None])[..., 0]
    np.testing.assert_allclose(L, [[2.0, -0.1], [-0.1, 1.4]], rtol=1e-14)
    warm = mobility_matrix(mobility.at_temperature(1.5), TERNARY, C[:, None])[..., 0]
    np.testing.assert_allclose(warm, 1.5 * L, rtol=1e-14)  # mu is in units of RT


def test_onsager_in_solver_units():
    """Expressions are in SI: one solver unit of m^5/(J s) is length^2/(time energy_density)."""
    mobility = in_solver_units(
        Onsager(matrix=[["4e-18 m^5/(J*s)", "1e-18*A"], ["1e-18*A", "4000 nm^5/(fJ*s)"]]), Scales.of(1e-9, 1e-3, 1e9, amount=1.0)
    )
    unit = 1e-18 / (1e-3 * 1e9)
    L = mobility_matrix(mobility, TERNARY, C[:, None])[..., 0] * unit
    np.testing.assert_allclose(L, [[4e-18, 0.2e-18], [0.2e-18, 4000 * 1e-45 / 1e-15]], rtol=1e-12)


def test_zeros_are_left_out():
    diagonal = Onsager(matrix=[[1.0, 0], ["0 m^5/(J*s)", "A"]]).at_temperature(1.5)
    assert [[isinstance(entry, int) for entry in row] for row in diagonal.matrix(AT_C)] == [[False, True], [True, False]]
    assert Fick(diffusivities=D_FICK).matrix(AT_C)[0][1] == 0


def test_onsager_is_made_again_from_its_keys():
    mobility = Onsager(matrix=[["1e-18 m^5/(J*s)", 0], [0, "1e-18*A"]])
    assert Onsager(**{key: getattr(mobility, name) for key, name in keys(Onsager).items()}) == mobility
    with pytest.raises(InputError, match="no parameter 'rows'; legal: matrix"):
        Onsager(rows=[[1.0]])


# -- admissible ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_samples_fill_the_simplex(n: int):
    c = Composition(tuple(f"s{k}" for k in range(n)), (0.0,) * n)
    samples = sample_compositions(c, closed=True, count=2048)
    assert samples.shape == (n, 2048)
    x = np.vstack([samples, 1 - samples.sum(axis=0)])
    assert x.min() == pytest.approx(1e-6, rel=1e-6)
    np.testing.assert_allclose(x.mean(axis=1), 1 / (n + 1), rtol=0.02)  # the centroid
    for corner in np.eye(n + 1):
        assert np.abs(x - corner[:, None]).max(axis=0).min() < 1e-5
    for i, j in combinations(range(n + 1), 2):
        assert np.abs(x - (np.eye(n + 1)[i] + np.eye(n + 1)[j])[:, None] / 2).max(axis=0).min() < 1e-5
    np.testing.assert_array_equal(samples, sample_compositions(c, closed=True, count=2048))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_samples_fill_a_box(n: int):
    c = Composition(tuple(f"s{k}" for k in range(n)), (0.0,) * n)
    lower, upper = -np.arange(1.0, n + 1), np.ones(n)
    samples = sample_compositions(c, closed=False, count=500, lower=lower, upper=upper)
    assert samples.shape == (n, 500)
    np.testing.assert_allclose(samples.min(axis=1), lower)
    np.testing.assert_allclose(samples.max(axis=1), upper)
    np.testing.assert_allclose(samples.mean(axis=1), (lower + upper) / 2, atol=0.03 * n)


@pytest.mark.parametrize("name", MODELS)
def test_built_in_mobilities_are_admissible(name: str):
    check_positive(MODELS[name][0], TERNARY, sample_compositions(TERNARY, closed=True))


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], ("Onsager", "negative eigenvalue -1 ", "A = 0.2, B = 0.5", "free energy would rise")),
        ([[1.0, "A"], ["B", 1.0]], ("not symmetric at A = 0.2, B = 0.5", "L[A, B] = 0.2", "L[B, A] = 0.5")),
        ([["log(A - 0.5)", 0], [0, 1.0]], ("no value at A = 0.2, B = 0.5",)),
    ],
)
def test_inadmissible_mobilities(matrix: list[list[object]], words: tuple[str, ...]):
    with pytest.raises(InputError) as error:
        check_positive(Onsager(matrix=matrix), TERNARY, C[:, None])
    assert all(word in str(error.value) for word in words), error.value


# -- what is not legal ---------------------------------------------------------------------------------------------------------

PAIRS = {"A-B": 1.0, "A-C": 1.0, "B-C": 1.0}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: MaxwellStefan(diffusivities={"A-B": -1}), ("[mobility] MaxwellStefan", "A-B = -1", "must be positive")),
        (lambda: MaxwellStefan(diffusivities={"A-B": "1 m/s"}), ("A-B = '1 m/s'", "wrong unit", "m^2/s")),
        (lambda: MaxwellStefan(diffusivities={"A-B": True}), ("A-B = true", "not a quantity")),
        (lambda: MaxwellStefan(diffusivities=3.0), ("diffusivities = 3.0", "must be a table")),
        (lambda: MaxwellStefan(), ("needs 'diffusivities'",)),
        (
            lambda: MaxwellStefan(diffusivities={"A-B": {"prefacto": 1.0, "activation_energy": 1.0}}),
            ("A-B", "no parameter 'prefacto'", "did you mean 'prefactor'?"),
        ),
        (lambda: Stirring(diffusivity={"prefactor": 1.0}), ("[mobility] Stirring: diffusivity", "needs 'activation_energy'")),
        (lambda: Degenerate(diffusivity={"prefactor": "1 m", "activation_energy": 0}), ("Degenerate: diffusivity", "'1 m'", "wrong unit")),
        (
            lambda: MaxwellStefan(diffusivities={"A-B": 1.0}).check_species(TERNARY),
            ("missing: A-C, B-C", 'diffusivities = { "A-C" = ... }'),
        ),
        (lambda: MaxwellStefan(diffusivities={**PAIRS, "B-A": 1.0}).check_species(TERNARY), ("'A-B' and 'B-A'", "the same pair")),
        (lambda: MaxwellStefan(diffusivities={**PAIRS, "A-D": 1.0}).check_species(TERNARY), ("'A-D' is not a pair", "did you mean")),
        (lambda: MaxwellStefan(diffusivities=PAIRS).check_species(NAMELESS), ("closes the sum", "balance = true")),
        (lambda: MaxwellStefan(diffusivities=PAIRS, stagnant="A").check_species(TERNARY), ("stagnant = 'A' must be the balance", "'C'")),
        (lambda: MaxwellStefan(diffusivities=PAIRS, stagnant="D").check_species(TERNARY), ("no species 'D'", "legal: A, B, C")),
        (lambda: GASES.with_diffusivities({"H2": 1.0}, OF_GASES), ("no use for the diffusivity of a species", "'H2'")),
        (lambda: Fick().with_diffusivities({"A": 1.0}, TERNARY), ("[mobility] Fick needs a diffusivity for B", "[[species]]")),
        (lambda: Fick().with_diffusivities(D_DARKEN, TERNARY), ("no use for the diffusivity of 'C'", "balance")),
        (lambda: Fick().with_diffusivities({"D": 1.0}, TERNARY), ("no species 'D'",)),
        (lambda: Fick(diffusivities=D_FICK).with_diffusivities({"A": 1.0}, TERNARY), ("two diffusivities of 'A'",)),
        (lambda: Darken().with_diffusivities(D_FICK, TERNARY), ("Darken needs a diffusivity for C",)),
        (lambda: Darken().with_diffusivities(D_FICK, NAMELESS), ("closes the sum", "balance = true")),
        (lambda: Onsager(matrix=[[1.0, 2.0], [3.0, 1.0]]), ("matrix[1][0] = 3.0", "matrix[0][1] = 2.0", "must be equal")),
        (lambda: Onsager(matrix=[[1.0, 0], ["2 m^5/(J*s)", 1.0]]), ("matrix[1][0] = 2 m^5/(J*s)", "matrix[0][1] = 0", "must be equal")),
        (lambda: Onsager(matrix=[[1.0, 2.0], [1.0]]), ("must be square, 2 x 2", "row 1 has 1")),
        (lambda: Onsager(matrix=[["1 m^2/s"]]), ("matrix = '1 m^2/s'", "wrong unit", "m^5/(J*s)")),
        (lambda: Onsager(matrix=2.0), ("matrix = 2.0", "list")),
        (lambda: Onsager(), ("Onsager needs 'matrix'",)),
        (lambda: Onsager(matrix=[[1.0]]).check_species(TERNARY), ("matrix is 1 x 1", "2 x 2, for A, B")),
        (lambda: Onsager(matrix=[["A*b", 0], [0, 1.0]]).check_species(TERNARY), ("matrix[0][0]", "unknown name 'b'")),
        (lambda: Onsager(matrix=[["A*noise", 0], [0, 1.0]]).check_species(TERNARY), ("matrix[0][0]", "noise is for initial values only")),
    ],
)
def test_bad_input(build, words: tuple[str, ...]):
    with pytest.raises(InputError) as error:
        build()
    assert all(word in str(error.value) for word in words), error.value


def test_diffusivities_of_the_species():
    bound = Fick().with_diffusivities(D_FICK, TERNARY)
    assert bound.diffusivities == D_FICK
    assert Fick(diffusivities=D_FICK).with_diffusivities({}, TERNARY).diffusivities == D_FICK
    constant = Constant(value=1.0)
    assert constant.with_diffusivities({}, TERNARY) is constant
