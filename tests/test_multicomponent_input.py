"""Bad input of problems with several species: one message that says what was given, what is legal and what to do, before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from mpi4py import MPI
from test_input import changed, errors, launch

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

COMM = MPI.COMM_WORLD

MIXTURE = """
[mesh]
shape = "interval"
size = 1.0
cells = 8

[[species]]
name = "A"
initial = 0.2

[[species]]
name = "B"
initial = 0.3

[[species]]
name = "C"
balance = true

[[free_energy]]
kind = "Ideal"

[mobility]
kind = "MaxwellStefan"
diffusivities = { "A-B" = 1.0, "A-C" = 2.0, "B-C" = 0.5 }

[boundary.left]
exchange = { A = { coefficient = 1.0, reference = 0.1 } }

[[reaction]]
stoichiometry = { A = -1, B = 1 }
rate = "2*A"

[time]
end = 1.0

[[output.probe]]
name = "p"
at = [0.5]
"""

UNITS = """
temperature = "1000 K"
molar_volume = "1e-5 m^3/mol"

[mesh]
shape = "interval"
size = "1 mm"
cells = 8

[[species]]
name = "A"
initial = 0.4

[[species]]
name = "B"
balance = true

[[free_energy]]
kind = "RegularSolution"
interaction = "5 kJ/mol"

[mobility]
kind = "Stirring"
diffusivity = "1e-9 m^2/s"

[[reaction]]
stoichiometry = { A = -1, B = 1 }
rate = "2*A"

[boundary.left]
exchange = { A = { coefficient = "1 mm/s", reference = 0.1 } }

[time]
end = "1 s"
"""

PAIRS = 'diffusivities = { "A-B" = 1.0, "A-C" = 2.0, "B-C" = 0.5 }'
MAXWELL_STEFAN = f'kind = "MaxwellStefan"\n{PAIRS}'
IDEAL = 'kind = "Ideal"'
SOLUTION = 'kind = "RegularSolution"\ninteraction = "5 kJ/mol"'
STIRRING = 'kind = "Stirring"\ndiffusivity = "1e-9 m^2/s"'
EXCHANGE = "exchange = { A = { coefficient = 1.0, reference = 0.1 } }"
STOICHIOMETRY = "stoichiometry = { A = -1, B = 1 }"
BALANCE = '[[species]]\nname = "C"\nbalance = true\n\n'
COLD = 'temperature = "1000 K"\nmolar_volume = "1e-5 m^3/mol"\n'
PROBE = "[[output.probe]]"
MARKER = '[[output.marker]]\nname = "weld"\nat = [0.5]\n\n'
DARKEN = 'kind = "Darken"\ndiffusivities = { A = 1.0, B = 2.0, C = 1.0 }'


def mixture(*pairs: str) -> str:
    return changed(MIXTURE, *pairs)


def units(*pairs: str) -> str:
    return changed(UNITS, *pairs)


def energy(text: str) -> str:
    return mixture(IDEAL, f"{IDEAL}\n\n[[free_energy]]\n{text}")


def reaction(stoichiometry: str = STOICHIOMETRY, rate: str = '"2*A"') -> str:
    return mixture(STOICHIOMETRY, stoichiometry, '"2*A"', rate)


def film(table: str) -> str:
    return mixture(EXCHANGE, f"exchange = {{ {table} }}")


def formulated(name: str, *pairs: str) -> str:
    return mixture("[mesh]", f'formulation = "{name}"\n\n[mesh]', *pairs)


def polynomial(*pairs: str) -> str:
    """With units and without a temperature."""
    well, constant = 'kind = "DoubleWell"\nrho = "1 J/m^3"', 'kind = "Constant"\nvalue = "1e-9 m^5/(J*s)"'
    return units(COLD, "", SOLUTION, well, STIRRING, constant, *pairs)


RESERVOIR = "concentration = {{ A = {}, B = 0.3 }}"

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
    # exchange
    "exchange that pumps": (
        film("A = { coefficient = -1.0, reference = 0.1 }"),
        ("[boundary.left] exchange: coefficient = -1.0: must be at least 0",),
    ),
    "exchange with both references": (
        film("A = { coefficient = 1.0, reference = 0.1, potential_reference = 0.2 }"),
        ("[boundary.left] exchange of A: give either reference", "or potential_reference", "given: reference, potential_reference"),
    ),
    "exchange with nothing": (film("A = { coefficient = 1.0 }"), ("[boundary.left] exchange of A: give either reference", "given: none")),
    "exchange without a coefficient": (film("A = { reference = 0.1 }"), ("[boundary.left] exchange needs 'coefficient'",)),
    "exchange of a stranger": (
        film("D = { coefficient = 1.0, reference = 0.1 }"),
        ("[boundary.left]: there is no solved species 'D'; legal: A, B",),
    ),
    "exchange of the balance": (
        film("C = { coefficient = 1.0, reference = 0.1 }"),
        ("[boundary.left]: 'C' is the balance", "give A, B instead"),
    ),
    "exchange mistyped": (
        film("A = { coefficient = 1.0, refrence = 0.1 }"),
        ("exchange of A has no parameter 'refrence'", "did you mean 'reference'?"),
    ),
    "exchange of potentials mistyped": (
        film("A = { coefficient = 1.0, potential_refrence = 0.1 }"),
        ("no parameter 'potential_refrence'", "did you mean 'potential_reference'?"),
    ),
    "exchange with noise": (
        film('A = { coefficient = 1.0, reference = "0.1*noise" }'),
        ("[boundary.left]: A = '0.1*noise'", "for initial values only"),
    ),
    "exchange with more than all": (
        film("A = { coefficient = 1.0, reference = 1.5 }"),
        ("[boundary.left] exchange of A: reference = 1.5: fractions are between 0 and 1",),
    ),
    "exchange with one over nothing": (film('A = { coefficient = 1.0, reference = "1/0" }'), ("'1/0' has no finite value",)),
    "exchange that is a number": (
        film("A = 3.0"),
        ("[boundary.left]: exchange", "A = 3.0: must be a table with a coefficient and a reference"),
    ),
    "exchanges that are a number": (mixture(EXCHANGE, "exchange = 3.0"), ("[boundary.left]: exchange = 3.0: must be a table",)),
    "exchange and reservoir": (
        mixture(EXCHANGE, EXCHANGE + "\nconcentration = { A = 0.2 }"),
        ("'A' has both an exchange and a fixed value",),
    ),
    "exchange and chemical potential": (
        mixture(EXCHANGE, EXCHANGE + "\nchemical_potential = { A = 0.2 }"),
        ("'A' has both an exchange and a fixed value",),
    ),
    "exchange of potentials in the other's unit": (
        units("reference = 0.1", 'potential_reference = "1 J/m^3"'),
        ("'mm/s' is the wrong unit", "m^4/(J*s)"),
    ),
    "exchange without a unit": (units('"1 mm/s"', "1.0"), ("mixed", "boundary.left.exchange.A.coefficient = 1.0 has none", "in m/s")),
    # reactions
    "reaction that does not close": (
        reaction("stoichiometry = { A = -1, B = 2 }"),
        ("[[reaction]]: stoichiometry { A = -1, B = 2 } sums to 1", "(with the balance 'C') need zero"),
    ),
    "reaction of a stranger": (reaction("stoichiometry = { A = -1, D = 1 }"), ("[[reaction]]: there is no species 'D'; legal: A, B, C",)),
    "reaction of nothing": (reaction("stoichiometry = {}"), ("[[reaction]]: stoichiometry has no species", "{ A = -1, B = 1 }")),
    "reaction without numbers": (reaction('stoichiometry = ["A", "B"]'), ("[[reaction]]: stoichiometry = ['A', 'B']: must be a table",)),
    "reaction in words": (reaction('stoichiometry = { A = "one", B = 1 }'), ("[[reaction]]: stoichiometry.A = 'one': must be a number",)),
    "reaction without a rate": (mixture('rate = "2*A"\n', ""), ("[[reaction]] needs 'rate'",)),
    "rate of a stranger": (reaction(rate='"2*D"'), ("[[reaction]]: rate = '2*D': unknown name 'D'", "legal: A, B, C, T,")),
    "rate of noise": (reaction(rate='"2*A*noise"'), ("[[reaction]]: rate = '2*A*noise': noise is for initial values only",)),
    "rate of nothing": (reaction(rate='""'), ("[[reaction]]: rate = ''", "the expression is empty")),
    "rate with a unit": (reaction(rate='"2 1/s"'), ("[[reaction]]: rate = '2 1/s'", "units are not legal in expressions")),
    "rate that is true": (reaction(rate="true"), ("[[reaction]]: rate = true: must be a number or an expression", '"2.0*A*B - 0.1*C"')),
    "rate of one over nothing": (reaction(rate='"1/0"'), ("[[reaction]]: rate = '1/0' has no finite value",)),
    "rate that is not a number": (
        reaction(rate='"log(x - 0.5)"'),
        (
            "the rate at which A changes is not a number at (0) at the start",
            "a source, reaction, flux",
            "a logarithm or root of a negative number",
        ),
    ),
    "rate of a species called T": (
        changed(MIXTURE.replace('"C"', '"T"').replace("-C", "-T"), '"2*A"', '"2*T"'),
        ("rate = '2*T': T is the temperature here", "give the species 'T' another name"),
    ),
    "rate by a temperature that is not given": (polynomial('"2*A"', '"exp(-1000/T)*A"'), ("depends on T: give temperature at the top",)),
    "reaction in single brackets": (mixture("[[reaction]]", "[reaction]"), ("must be a list", "write [[reaction]], with double brackets")),
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
    # reservoirs of nothing, or of too much
    "empty reservoir and potentials": (
        formulated("potential", EXCHANGE, RESERVOIR.format(0)),
        ("[boundary.left] has none of a component", "minus infinity (1e-6 would do)", "take 'fractions'"),
    ),
    "empty reservoir and entropy": (
        formulated("entropy", EXCHANGE, RESERVOIR.format(0)),
        ("[boundary.left] has none of a component", "minus infinity (1e-6 would do)", "take 'fractions'"),
    ),
    "reservoir that empties somewhere": (
        formulated("entropy", EXCHANGE, RESERVOIR.format('"0.1*x"')),
        ("[boundary.left] has none of a component", "minus infinity (1e-6 would do)", "take 'fractions'"),
    ),
    "full reservoir and potentials": (
        formulated("potential", EXCHANGE, RESERVOIR.format(0.7)),
        ("[boundary.left] has none of a component", "minus infinity (1e-6 would do)", "take 'fractions'"),
    ),
    "reservoir of more than all": (
        mixture(EXCHANGE, RESERVOIR.format(0.8)),
        ("[boundary.left] concentrations: the sum is 1.1", "at most 1"),
    ),
    "reservoir of more than all, as an expression": (
        mixture(EXCHANGE, RESERVOIR.format('"0.8 + x"')),
        ("[boundary.left] concentrations: the sum is 1.1 at t = 0", "at most 1"),
    ),
    "reservoir of less than nothing": (
        mixture(EXCHANGE, RESERVOIR.format('"x - 0.1"')),
        ("[boundary.left] concentration of A is -0.1 at t = 0",),
    ),
    "reservoir of the balance": (
        mixture(EXCHANGE, "concentration = { C = 0.2 }"),
        ("[boundary.left]: 'C' is the balance", "give A, B instead"),
    ),
    "reservoir for some, with potentials": (
        formulated("potential", EXCHANGE, "concentration = { A = 0.2 }"),
        ("[boundary.left] fixes the concentrations of some species only", "take 'fractions'"),
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


def write(folder: Path, text: str) -> Path:
    path = folder / "problem.toml"
    if COMM.rank == 0:
        path.write_text(text)
    COMM.barrier()
    return path


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, folder: Path) -> None:
    text, fragments = CASES[case]
    path = write(folder, text)
    with pytest.raises(InputError) as caught:
        check(System(Problem.read(path)))
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    _, *more = message.splitlines()
    assert not more or (len(more) == 2 and more[1].strip() == "^"), "one line, or an expression with its caret below"
    assert len(set(COMM.allgather(message))) == 1, "all ranks say the same"


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


@pytest.mark.parametrize("values", [(0, 0.3), (0.7, 0.3), (0, 0), (1, 0)])
def test_reservoir_may_be_empty_or_full_where_fractions_are_unknowns(values: tuple[float, float], folder: Path) -> None:
    """Of A, B, of the balance, or of all but one: the steady state without a reaction is the reservoir's composition."""
    a, b = values
    text = mixture(
        EXCHANGE,
        f"concentration = {{ A = {a}, B = {b} }}",
        f'[[reaction]]\n{STOICHIOMETRY}\nrate = "2*A"\n',
        "",
        "end = 1.0",
        'end = 200.0\nscheme = "backward-euler"',
    )
    system = System(Problem.read(write(folder, text)))
    check(system)
    assert system.formulation.name == "fractions"
    for _ in Integrator(system).steps():
        assert system.formulation.components.min() > -1e-12
    assert system.concentrations[:, 0] == pytest.approx(a, abs=1e-5)
    assert system.concentrations[:, 1] == pytest.approx(b, abs=1e-5)


def test_reservoir_that_becomes_impossible_ends_the_run(folder: Path) -> None:
    system = System(Problem.read(write(folder, mixture(EXCHANGE, RESERVOIR.format('"0.5 + t"'), "end = 1.0", "end = 1.0\nstep = 0.125"))))
    with pytest.raises(InputError, match=r"\[boundary.left\] concentrations: the sum is 1.05 at t = 0.25, and must be at most 1"):
        for _ in Integrator(system).steps():
            pass


# -- through the command line

FOR_THE_CLI = [
    ("check", "ill-posed"),
    ("run", "ill-posed"),
    ("run", "rate of a stranger"),
    ("run", "rate that is not a number"),
    ("check", "indefinite matrix"),
    ("run", "empty reservoir and potentials"),
]


@pytest.mark.serial
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("command", "case"), FOR_THE_CLI)
def test_exit_code_and_one_message(command: str, case: str, ranks: int, folder: Path) -> None:
    text, fragments = CASES[case]
    write(folder, text)
    result = launch(folder, command, "problem.toml", *(["-o", "out"] if command == "run" else []), ranks=ranks)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    message = "\n".join(errors(result))
    assert message.startswith("error: ") and message.count("error: ") == 1
    for fragment in fragments:
        assert fragment in message
    assert not (folder / "out").exists()


@pytest.mark.serial
@pytest.mark.parametrize("ranks", [1, 2])
def test_run_that_is_ended_by_its_temperature_keeps_its_results(ranks: int, folder: Path) -> None:
    write(folder, units('"1000 K"', '"1000 - 1500*t"', '"5 kJ/mol"', '"0 J/mol"', 'end = "1 s"', 'end = "1 s"\nstep = "0.2 s"'))
    result = launch(folder, "run", "problem.toml", "-o", "out", ranks=ranks)
    assert result.returncode == 2
    (message,) = errors(result)
    assert message.startswith("error: temperature = '1000 - 1500*t' is -200 at (0) at t = 0.8: it must be positive")
    history = (folder / "out" / "history.csv").read_text().splitlines()
    assert len(history) == 1 + 4, "columns, the start and three steps"
