"""Bad input of problems with several species: one message that says what was given, what is legal and what to do, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input import assert_message, write
from mixture_texts import (
    BALANCE,
    DARKEN,
    EXCHANGE,
    IDEAL,
    MARKER,
    MAXWELL_STEFAN,
    MIXTURE,
    PAIRS,
    PROBE,
    SOLUTION,
    UNITS,
    energy,
    film,
    formulated,
    mixture,
    polynomial,
    units,
)

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    # pairs
    "Maxwell-Stefan: pair missing": (
        mixture(', "B-C" = 0.5', ""),
        (
            "[mobility] MaxwellStefan needs a diffusivity for every pair",
            "balance included",
            'missing: B-C: add diffusivities = { "B-C" = ... }',
        ),
    ),
    "Maxwell-Stefan: pair twice": (
        mixture('"A-C"', '"B-A" = 1.0, "A-C"'),
        ("[mobility] MaxwellStefan: 'A-B' and 'B-A' are the same pair",),
    ),
    "Maxwell-Stefan: pair unknown": (mixture('"B-C"', '"B-D"'), ("'B-D' is not a pair of species", "did you mean 'B-C'?")),
    "Maxwell-Stefan: pair of one": (mixture('"B-C"', '"B-B"'), ("'B-B' is not a pair of species",)),
    "Maxwell-Stefan: one number": (mixture(PAIRS, "diffusivities = 1.0"), ("MaxwellStefan: diffusivities = 1.0: must be a table",)),
    "Maxwell-Stefan: zero": (mixture('"A-B" = 1.0', '"A-B" = 0.0'), ("MaxwellStefan: diffusivities.A-B = 0.0: must be positive",)),
    "Maxwell-Stefan: negative": (mixture('"A-B" = 1.0', '"A-B" = -1.0'), ("MaxwellStefan: diffusivities.A-B = -1.0: must be positive",)),
    "Maxwell-Stefan: no balance": (
        mixture(BALANCE, ""),
        ("MaxwellStefan needs the component that closes", "[[species]] with balance = true"),
    ),
    "Maxwell-Stefan: stagnant species": (
        mixture(PAIRS, PAIRS + '\nstagnant = "A"'),
        ("stagnant = 'A' must be the balance, which is 'C'", "give 'A' balance = true, and 'C' an initial value"),
    ),
    "Maxwell-Stefan: stagnant stranger": (
        mixture(PAIRS, PAIRS + '\nstagnant = "D"'),
        ("MaxwellStefan: there is no species 'D'", "A, B, C"),
    ),
    "regular solution: pair twice": (
        mixture(IDEAL, 'kind = "RegularSolution"\nchi = { "A-B" = 1.0, "B-A" = 1.0 }'),
        ("[[free_energy]] RegularSolution: 'A-B' and 'B-A' are the same pair: give it once",),
    ),
    "regular solution: pair unknown": (
        mixture(IDEAL, 'kind = "RegularSolution"\nchi = { "A-D" = 1.0 }'),
        ("RegularSolution: 'A-D' is not a pair of species", "did you mean 'A-"),
    ),
    "regular solution: one number": (
        mixture(IDEAL, 'kind = "RegularSolution"\nchi = 1.0'),
        ("RegularSolution has one number for 3 components (A, B, C)", 'chi = { "A-B" = ... }'),
    ),
    "Wilson: pair missing": (
        energy('kind = "Wilson"\nLambda = { "A-B" = [1.0, 1.0], "A-C" = [1.0, 1.0] }'),
        ("[[free_energy]] Wilson Lambda needs every pair", "missing: B-C"),
    ),
    "Wilson: pair twice": (
        energy('kind = "Wilson"\nLambda = { "A-B" = [1.0, 1.0], "B-A" = [1.0, 1.0], "A-C" = [1.0, 1.0], "B-C" = [1.0, 1.0] }'),
        ("Wilson: 'A-B' and 'B-A' are the same pair",),
    ),
    "Wilson: three numbers": (
        energy('kind = "Wilson"\nLambda = { "A-B" = [1.0, 1.0, 1.0] }'),
        ("Wilson: Lambda.A-B = [1.0, 1.0, 1.0]", 'a list of two: "A-B" = [of A-B, of B-A]; 3 given'),
    ),
    "Wilson: negative": (energy('kind = "Wilson"\nLambda = { "A-B" = [1.0, -1.0] }'), ("Wilson: Lambda.A-B", "greater than 0")),
    "Wilson: volume of a stranger": (
        energy(
            'kind = "Wilson"\ninteractions = { "A-B" = [1.0, 1.0], "A-C" = [1.0, 1.0], "B-C" = [1.0, 1.0] }\nmolar_volumes = { A = 1.0, D = 1.0 }'
        ),
        ("Wilson molar_volumes: there is no component 'D'",),
    ),
    "NRTL: pair missing": (
        energy('kind = "NRTL"\ntau = { "A-B" = [1.0, 1.0], "A-C" = [1.0, 1.0] }'),
        ("[[free_energy]] NRTL tau needs every pair", "missing: B-C"),
    ),
    "NRTL: pair unknown": (
        energy('kind = "NRTL"\ntau = { "A-B" = [1.0, 1.0], "A-C" = [1.0, 1.0], "B-D" = [1.0, 1.0] }'),
        ("NRTL: 'B-D' is not a pair of species", "did you mean 'B-C'?"),
    ),
    "NRTL: one number for two": (energy('kind = "NRTL"\ntau = { "A-B" = 1.0 }'), ("NRTL: tau.A-B = 1.0: must be a list",)),
    # diffusivities of the species
    "Fick without": (
        mixture(MAXWELL_STEFAN, 'kind = "Fick"'),
        ("Fick needs a diffusivity for A, B", "diffusivity = ... in each one's [[species]]"),
    ),
    "Darken without that of the balance": (
        mixture(MAXWELL_STEFAN, 'kind = "Darken"\ndiffusivities = { A = 1.0, B = 1.0 }'),
        ("Darken needs a diffusivity for C",),
    ),
    "Darken with two of one": (
        mixture(MAXWELL_STEFAN, DARKEN, "initial = 0.2", "initial = 0.2\ndiffusivity = 1.0"),
        ("[mobility] Darken has two diffusivities of 'A'", "in the mobility's table or at the species"),
    ),
    "diffusivity that nothing needs": (
        mixture("initial = 0.2", "initial = 0.2\ndiffusivity = 1.0"),
        ("[mobility] MaxwellStefan has no use for the diffusivity of a species: remove it from 'A'",),
    ),
    "negative diffusivity": (
        mixture("initial = 0.2", "initial = 0.2\ndiffusivity = -1.0"),
        ("[[species]]: diffusivity = -1.0: must be positive",),
    ),
    "diffusivity in words": (mixture("initial = 0.2", 'initial = 0.2\ndiffusivity = "fast"'), ("diffusivity = 'fast'", '"1.5 m^2/s"')),
    "half of Arrhenius' law": (
        mixture("initial = 0.2", "initial = 0.2\ndiffusivity = { prefactor = 1.0 }"),
        ("[[species]]: diffusivity", "needs 'activation_energy'"),
    ),
    "Arrhenius' law half in units": (
        units('"1e-9 m^2/s"', '{ prefactor = "1e-9 m^2/s", activation_energy = 10 }'),
        ("mixed", "mobility.diffusivity.activation_energy = 10.0 has none", "in J/mol"),
    ),
    # Onsager's matrix
    "indefinite matrix": (
        mixture(MAXWELL_STEFAN, 'kind = "Onsager"\nmatrix = [[1.0, 2.0], [2.0, 1.0]]'),
        ("[mobility] Onsager: L has the negative eigenvalue -1 at A = ", "B = ", "the free energy would rise", "positive semi-definite"),
    ),
    "matrix indefinite somewhere": (
        mixture(MAXWELL_STEFAN, 'kind = "Onsager"\nmatrix = [["A - 0.3", 0], [0, 1.0]]'),
        ("L has the negative eigenvalue -0.29", "at A = 1e-06"),
    ),
    "matrix without symmetry": (
        mixture(MAXWELL_STEFAN, 'kind = "Onsager"\nmatrix = [[1.0, 2.0], [1.5, 1.0]]'),
        ("matrix[1][0] = 1.5 and matrix[0][1] = 2.0 must be equal",),
    ),
    "matrix of three": (
        mixture(MAXWELL_STEFAN, 'kind = "Onsager"\nmatrix = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]'),
        ("matrix is 3 x 3; it must be 2 x 2, for A, B",),
    ),
    "matrix of a stranger": (
        mixture(MAXWELL_STEFAN, 'kind = "Onsager"\nmatrix = [["D", 0], [0, 1.0]]'),
        ("matrix[0][0]", "unknown name 'D'"),
    ),
    # species
    "fractions above one": (
        mixture("initial = 0.2", 'initial = "0.2 + 0.6*x"'),
        ("[[species]] initial of all (A + B) is 1.1 at (1)", "between 0 and 1"),
    ),
    "balance with an initial value": (
        mixture("balance = true", "balance = true\ninitial = 0.5"),
        ("'C' is the balance", "takes no initial"),
    ),
    "balance with a source": (
        mixture("balance = true", 'balance = true\nsource = "1"'),
        ("'C' is the balance", "its source follows from theirs"),
    ),
    "two balances": (mixture("initial = 0.3", "balance = true"), ("[[species]]: only one can be the balance",)),
    "initial value of an unknown region": (mixture("initial = 0.2", "initial = { core = 0.2 }"), ("no region 'core'", "physical names")),
    "balance neither true nor false": (
        mixture("balance = true", 'balance = "yes"'),
        ("[[species]]: balance = 'yes': must be true or false",),
    ),
    "name that is a number": (mixture('name = "A"', "name = 3"), ("[[species]]: name = 3: must be text",)),
    "kappa of a stranger": (
        energy('kind = "Gradient"\nkappa = { D = 1.0 }'),
        ("[[free_energy]] Gradient: there is no species 'D'", "A, B, C"),
    ),
    "potential of a stranger": (
        energy('kind = "ExternalPotential"\npotential = { D = 1.0 }'),
        ("ExternalPotential: there is no species 'D'",),
    ),
    "potential of noise": (
        energy('kind = "ExternalPotential"\npotential = { A = "noise" }'),
        ("A = 'noise': noise is for initial values only",),
    ),
    "potential without a value": (energy('kind = "ExternalPotential"\npotential = { A = "1/0" }'), ("'1/0' has no finite value",)),
    "marker without a lattice": (
        mixture(PROBE, MARKER + PROBE),
        ("[[output.marker]] weld: markers move with a lattice", "kind = 'Darken' has"),
    ),
    "marker outside": (
        mixture(MAXWELL_STEFAN, DARKEN, PROBE, MARKER.replace("0.5", "1.5") + PROBE),
        ("[[output.marker]] weld: the point (1.5)", "outside"),
    ),
    "two markers of one name": (
        mixture(MAXWELL_STEFAN, DARKEN, PROBE, MARKER + MARKER + PROBE),
        ("two [[output.marker]] are called 'weld'",),
    ),
    # energies that need RT/V_m
    "function of a temperature that is not given": (
        polynomial(
            'rho = "1 J/m^3"', 'rho = "1 J/m^3"\n\n[[free_energy]]\nkind = "RedlichKister"\ncoefficients = { "A-B" = ["1000 - 8*T"] }'
        ),
        ("[[free_energy]] RedlichKister is in units of RT/V_m: give temperature and molar_volume",),
    ),
    "potential without RT": (
        polynomial('rho = "1 J/m^3"', 'rho = "1 J/m^3"\n\n[[free_energy]]\nkind = "ExternalPotential"\npotential = { A = "1e3*x" }'),
        ("[[free_energy]] ExternalPotential is in units of RT/V_m: give temperature and molar_volume",),
    ),
    "function of time for one of temperature": (
        units(SOLUTION, 'kind = "RedlichKister"\ncoefficients = { "A-B" = ["1000 - 8*t"] }'),
        ("[[free_energy]] RedlichKister: coefficients.A-B = '1000 - 8*t'", "unknown name 't'", "legal: T"),
    ),
    # formulations
    "formulation mistyped": (formulated("entropie"), ("formulation = 'entropie': must be 'fractions', 'entropy' or 'potential'",)),
    "entropy of a regular solution": (
        formulated("entropy", IDEAL, 'kind = "RegularSolution"\nchi = { "A-B" = 1.0 }'),
        ("formulation = 'entropy' is not possible", "RegularSolution is no ideal entropy of mixing", "take 'fractions', 'potential'"),
    ),
    "entropy between two states": (
        formulated("entropy", "end = 1.0", 'end = 1.0\nscheme = "avf"'),
        ("'entropy' is not possible", "mu between two states"),
    ),
    "fractions with a gradient": (
        formulated("fractions", IDEAL, f'{IDEAL}\n\n[[free_energy]]\nkind = "Gradient"\nkappa = 1.0'),
        ("formulation = 'fractions' is not possible: the free energy depends on gradients", "take 'potential'"),
    ),
    "fractions with a fixed potential": (
        formulated("fractions", EXCHANGE, "chemical_potential = { A = 0.1 }"),
        ("'fractions' is not possible: a reservoir fixes a chemical potential", "take 'entropy', 'potential'"),
    ),
    # models without an answer
    "ill-posed behind a film": (
        mixture(IDEAL, 'kind = "RegularSolution"\nchi = { "A-C" = 3.2 }', "reference = 0.1", "reference = 0.5"),
        ("the mixture is unstable at A = ", "a composition that the run may reach", "kind = 'Gradient'"),
    ),
    "ill-posed": (
        mixture(IDEAL, 'kind = "RegularSolution"\nchi = { "A-B" = 6.0 }'),
        ("the mixture is unstable at A = 0.2, B = 0.3", "smallest curvature of f: -1.877", "ill-posed", "kind = 'Gradient'"),
    ),
    "ill-posed where it is cold": (
        units('"5 kJ/mol"', '"18 kJ/mol"', '"1000 K"', '"1000 - 2e5*x"'),
        ("the mixture is unstable at A = 0.4 and T = 800", "ill-posed", "kind = 'Gradient'"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, folder: Path) -> None:
    text, fragments = CASES[case]
    with pytest.raises(InputError) as caught:
        check(System(Problem.read(write(folder, text))))
    assert_message(str(caught.value), fragments)


@pytest.mark.parametrize(
    "text",
    [
        MIXTURE,
        UNITS,
        polynomial("initial = 0.4", "initial = 0.1"),
        mixture('"A-B"', '"B-A"', '"A-C"', '"C-A"', '"B-C"', '"C-B"'),
        energy('kind = "Wilson"\nLambda = { "B-A" = [1.0, 1.2], "C-A" = [1.0, 0.8], "C-B" = [1.0, 1.1] }'),
        mixture(MAXWELL_STEFAN, DARKEN, PROBE, MARKER + PROBE),
        film("A = { coefficient = 0, reference = 0 }"),
    ],
    ids=["mixture", "units", "polynomial", "reversed pairs", "reversed Wilson", "marker", "closed film"],
)
def test_what_is_legal(text: str, folder: Path) -> None:
    check(System(Problem.read(write(folder, text))))


def curvature(a: float, b: float, chi: float) -> float:
    """The smallest eigenvalue of [[1/a + 1/c, 1/c + chi], [., 1/b + 1/c]]."""
    c = 1 - a - b
    mean, half, mixed = (1 / a + 1 / b) / 2 + 1 / c, (1 / a - 1 / b) / 2, 1 / c + chi
    return float(mean - (half**2 + mixed**2) ** 0.5)


def test_curvature_in_the_message_of_an_ill_posed_model() -> None:
    assert curvature(0.2, 0.3, 6.0) == pytest.approx(-1.877, abs=5e-4)
