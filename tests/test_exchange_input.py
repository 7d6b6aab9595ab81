"""Bad input of exchanges, reservoirs and reactions: one message that says what was given, what is legal and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input import assert_message, changed, write
from mixture_texts import EXCHANGE, MIXTURE, RESERVOIR, STOICHIOMETRY, film, formulated, mixture, polynomial, reaction, units

from fem_diffusion.check import check
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator
from fem_diffusion.problem import Problem
from fem_diffusion.system import System

CASES: dict[str, tuple[str, tuple[str, ...]]] = {
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
}


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, folder: Path) -> None:
    text, fragments = CASES[case]
    with pytest.raises(InputError) as caught:
        check(System(Problem.read(write(folder, text))))
    assert_message(str(caught.value), fragments)


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
