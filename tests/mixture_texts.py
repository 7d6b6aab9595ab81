"""Problems with several species as text, legal until a test changes them: see bad_input."""

from __future__ import annotations

from bad_input import changed

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
