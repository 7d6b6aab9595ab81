"""Bad input: one message that says what was given, what is legal and what to do, exit code 2, the same on any number of ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input import COMM, assert_message, changed, write

from fem_diffusion.check import check
from fem_diffusion.cli import _changes
from fem_diffusion.diagnostics import Columns
from fem_diffusion.errors import InputError
from fem_diffusion.integrator import Integrator
from fem_diffusion.output import Output
from fem_diffusion.problem import Problem
from fem_diffusion.run import run
from fem_diffusion.system import System

PLAIN = """
title = "A binary"
seed = 1

[mesh]
shape = "interval"
size = 4.0
cells = 8

[[species]]
name = "A"
initial = "0.5 + 0.1*cos(pi*x/4)"

[[free_energy]]
kind = "RegularSolution"
chi = 3.0

[[free_energy]]
kind = "Gradient"
kappa = 1.0

[mobility]
kind = "Constant"
value = 1.0

[boundary.left]
concentration = { A = 0.5 }

[time]
end = 1.0
step = 0.5

[output]
times = 2

[[output.probe]]
name = "p"
at = [1.0]

[[output.average]]
name = "h"
where = "x < 2"
"""

UNITS = """
temperature = "1000 K"
molar_volume = "9e-6 m^3/mol"

[mesh]
shape = "interval"
size = "10 nm"
cells = 8

[[species]]
name = "Ag"
initial = 0.4

[[free_energy]]
kind = "RegularSolution"
interaction = "25.3 kJ/mol"

[[free_energy]]
kind = "Gradient"
kappa = "12 nJ/m"

[mobility]
kind = "Degenerate"
diffusivity = "1e-17 m^2/s"

[time]
end = "10 s"
"""

INITIAL = '"0.5 + 0.1*cos(pi*x/4)"'
MESH = '[mesh]\nshape = "interval"\nsize = 4.0\ncells = 8\n'
SOLUTION = 'kind = "RegularSolution"\nchi = 3.0'
GRADIENT = '[[free_energy]]\nkind = "Gradient"\nkappa = 1.0\n'
RESERVOIR = "concentration = { A = 0.5 }"
SQUARE = '[mesh]\nfile = "square.geo"\n'


def two_species(text: str) -> str:
    second = '[[species]]\nname = "B"\ninitial = 0.1\n\n[[free_energy]]'
    return changed(text, "[[free_energy]]\n", second + "\n").replace("chi = 3.0", 'chi = { "A-B" = 1.0 }')


def plain(*pairs: str) -> str:
    return changed(PLAIN, *pairs)


def units(*pairs: str) -> str:
    return changed(UNITS, *pairs)


CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    # unknown keys and kinds
    "key at the top": (plain("title", "titel"), ("no table or key 'titel'", "did you mean 'title'?")),
    "table": (plain("[mobility]", "[mobilty]"), ("no table or key 'mobilty'", "did you mean 'mobility'?")),
    "key of time": (plain("step", "stepp"), ("[time] has no parameter 'stepp'", "did you mean 'step'?")),
    "key of output": (plain("times", "time_s"), ("[output] has no parameter 'time_s'", "did you mean 'times'?")),
    "key of a probe": (plain("at =", "att ="), ("[[output.probe]] has no parameter 'att'", "did you mean 'at'?")),
    "key of an average": (plain("where =", "were ="), ("[[output.average]] has no parameter 'were'", "did you mean 'where'?")),
    "key of the mesh": (plain("cells", "cels"), ("[mesh] has no parameter 'cels'", "did you mean 'cells'?")),
    "key of a boundary": (plain("concentration", "concentratoin"), ("[boundary.left]", "'concentratoin'", "did you mean 'concentration'?")),
    "key of an energy": (plain("chi", "chii"), ("[[free_energy]] RegularSolution", "'chii'", "did you mean 'chi'?")),
    "required key of an energy": (plain("kappa", "kapa"), ("[[free_energy]] Gradient has no parameter 'kapa'", "did you mean 'kappa'?")),
    "key of the mobility": (plain("value", "valu"), ("[mobility] Constant has no parameter 'valu'", "did you mean 'value'?")),
    "key of a species": (plain("initial", "inital"), ("[[species]] has no parameter 'inital'", "did you mean 'initial'?")),
    "key of wetting": (plain(RESERVOIR, 'wetting = { angle = "60 deg" }'), ("[boundary.left] wetting", "contact_angle")),
    "kind of energy": (plain("RegularSolution", "RegularSolutoin"), ("no kind 'RegularSolutoin'", "did you mean 'RegularSolution'?")),
    "kind of mobility": (plain('"Constant"', '"Constnt"'), ("[mobility] has no kind 'Constnt'", "did you mean 'Constant'?")),
    "kind missing": (plain('kind = "Constant"\n', ""), ("[mobility] needs a kind", "Constant, Darken, Degenerate", "my_module.MyClass")),
    "kind a number": (plain('"Constant"', "3"), ("[mobility] kind = 3", "text")),
    "shape": (plain('"interval"', '"line"'), ("[mesh]: shape = 'line'", "'interval', 'rectangle' or 'box'")),
    "scheme": (plain("step = 0.5", 'step = 0.5\nscheme = "euler"'), ("[time]: scheme = 'euler'", "'backward-euler'", "'bdf2'")),
    # units
    "wrong unit": (units("12 nJ/m", "12 nJ"), ("Gradient: kappa = '12 nJ'", "'nJ' is the wrong unit", '"1.5 J/m"')),
    "unknown unit": (units("12 nJ/m", "12 nQ/m"), ("kappa = '12 nQ/m'", "'nQ' is not defined", '"1.5 J/m"')),
    "unit with a syntax error": (units("12 nJ/m", "12 n(J/m"), ("kappa = '12 n(J/m'", "not a unit", '"1.5 J/m"')),
    "unit of the temperature": (units("1000 K", "1000 J"), ("temperature = '1000 J'", "wrong unit", '"1.5 K"')),
    "unit of a fraction": (units("initial = 0.4", 'initial = "0.4 mol/l"'), ("initial = '0.4 mol/l'", "give a plain number")),
    "number among units": (
        units('"10 s"', "10.0"),
        ("mixed", "temperature = '1000 K' has a unit", "time.end = 10.0 has none", "time.end in s"),
    ),
    "unit among numbers": (plain("kappa = 1.0", 'kappa = "1 J/m"'), ("mixed", "free_energy[1].kappa = '1 J/m'", "mesh.size[0] = 4.0")),
    "no temperature": (
        units('temperature = "1000 K"\n', ""),
        ("[[free_energy]] RegularSolution is in units of RT/V_m", "give temperature"),
    ),
    "no molar volume": (units('molar_volume = "9e-6 m^3/mol"\n', ""), ("units of RT/V_m", "give molar_volume")),
    "neither": (
        units('temperature = "1000 K"\nmolar_volume = "9e-6 m^3/mol"\n', "", 'interaction = "25.3 kJ/mol"', "chi = 3.0"),
        ("RegularSolution is in units of RT/V_m", "give temperature and molar_volume at the top"),
    ),
    "unit of the mesh among numbers": (
        plain(MESH, SQUARE + 'unit = "mm"\n', "at = [1.0]", "at = [0.5, 0.5]"),
        ("mixed", "[mesh] unit = 'mm' is a unit", "time.end = 1.0 has none"),
    ),
    "temperature among numbers": (
        plain("seed = 1", "temperature = 1000"),
        ("temperature = 1000", "chi = Omega/RT already contains it", "remove"),
    ),
    "molar volume among numbers": (plain("seed = 1", "molar_volume = 9e-6"), ("molar_volume = 9e-06", "already contains it", "remove")),
    "energies per mole of a user": (
        units(
            'temperature = "1000 K"\nmolar_volume = "9e-6 m^3/mol"\n',
            "",
            'kind = "RegularSolution"\ninteraction = "25.3 kJ/mol"',
            'kind = "input_modules.PerMole"\nL = "25.3 kJ/mol"',
            'kind = "Degenerate"\ndiffusivity = "1e-17 m^2/s"',
            'kind = "Constant"\nvalue = "1e-26 m^5/(J*s)"',
        ),
        ("[[free_energy]] PerMole is in units of RT/V_m", "give temperature and molar_volume"),
    ),
    "tonnes or times t": (plain('"0.5 + 0.1*cos(pi*x/4)"', '"5 t"'), ("two values side by side", "write *")),
    "contact angle without a unit": (plain(RESERVOIR, "wetting = { contact_angle = 60 }"), ("contact_angle = 60 has no unit", "'60 deg'")),
    # names
    "boundary mistyped": (plain("boundary.left", "boundary.lft"), ("[boundary.lft]", "no boundary 'lft'", "did you mean 'left'?")),
    "boundary unknown": (plain("boundary.left", "boundary.anode"), ("no boundary 'anode'", "legal: left, right")),
    "boundary of a periodic mesh": (plain("cells = 8", 'cells = 8\nperiodic = ["x"]'), ("no boundary 'left'", "periodic sides")),
    "boundary of a mesh without tags": (
        plain(MESH, SQUARE, "at = [1.0]", "at = [0.5, 0.5]"),
        ("[boundary.left]", "no boundary 'left'", "names none", "physical names"),
    ),
    "boundary of a tagged mesh": (
        plain(MESH, SQUARE.replace("square", "tagged"), "at = [1.0]", "at = [0.5, 0.5]"),
        ("no boundary 'left'", "legal: floor"),
    ),
    "region of an initial value": (
        plain(MESH, SQUARE.replace("square", "tagged"), INITIAL, "{ coar = 0.5 }", "boundary.left", "boundary.floor"),
        ("no region 'coar'", "did you mean 'core'?"),
    ),
    "region without tags": (plain('where = "x < 2"', 'region = "core"'), ("no region 'core'", "names none", "physical names")),
    "mesh file": (plain(MESH, '[mesh]\nfile = "nowhere.msh"\n'), ("[mesh] file = 'nowhere.msh'", "no file /")),
    "mesh file of another kind": (plain(MESH, '[mesh]\nfile = "problem.toml"\n'), ("cannot read", "problem.toml", ".geo, .msh")),
    "file and shape": (plain("shape =", 'file = "a.msh"\nshape ='), ("either 'file' or 'shape'", "'a.msh'", "'interval'")),
    "reservoir of an unknown species": (plain("{ A = 0.5 }", "{ B = 0.5 }"), ("[boundary.left]", "no solved species 'B'", "legal: A")),
    "pair of an unknown species": (plain("chi = 3.0", 'chi = { "A-C" = 1.0 }'), ("'A-C' is not a pair", "legal: A-rest")),
    "kappa of an unknown species": (plain("kappa = 1.0", "kappa = { B = 1.0 }"), ("Gradient: there is no species 'B'", "A, rest")),
    "two species of one name": (two_species(PLAIN).replace('"B"', '"A"'), ("two have the same name: A, A",)),
    "species called rest": (plain('name = "A"', 'name = "rest"'), ("[[species]]", "'rest'", "another name")),
    "species without a name": (plain('name = "A"', 'name = ""'), ("[[species]]: name = ''", "at least 1 character")),
    "two probes of one name": (
        plain("[[output.average]]", '[[output.probe]]\nname = "p"\nat = [2.0]\n\n[[output.average]]'),
        ("two [[output.probe]] are called 'p'", "different names"),
    ),
    # values
    "initial above one": (plain(INITIAL, '"1.2 - 0.1*x"'), ("[[species]] initial of A is 1.2 at (0)", "between 0 and 1")),
    "initial below zero": (plain(INITIAL, '"0.2 - 0.1*x"'), ("[[species]] initial of A is -0.2 at (4)", "between 0 and 1")),
    "place in metres": (units("initial = 0.4", 'initial = "0.5 + x/1e-8"'), ("initial of Ag is 1.5 at (1e-08)",)),
    "initial sum above one": (
        two_species(plain(INITIAL, "0.95", "{ A = 0.5 }", "{ A = 0.5, B = 0.1 }")),
        ("initial of all (A + B) is 1.05 at (0)", "between 0 and 1"),
    ),
    "initial not a number": (plain(INITIAL, '"0.5 + log(x - 2)"'), ("[[species]] initial is not a number", "logarithm")),
    "reservoir above one": (plain("{ A = 0.5 }", "{ A = 1.5 }"), ("[boundary.left] concentration of A = 1.5", "between 0 and 1")),
    "empty reservoir": (plain("{ A = 0.5 }", "{ A = 0 }"), ("[boundary.left] concentration of A is 0", "minus infinity", "1e-6")),
    "reservoirs that sum to one": (
        two_species(plain("{ A = 0.5 }", "{ A = 0.5, B = 0.5 }")),
        ("[boundary.left]", "where fractions sum to one", "a small fraction"),
    ),
    "reservoir for some species": (two_species(PLAIN), ("fixes the concentration of 'A' but not of B", "chemical_potential")),
    "negative kappa": (plain("kappa = 1.0", "kappa = -1.0"), ("Gradient: kappa = -1.0: must be at least 0",)),
    "negative kappa of a species": (plain("kappa = 1.0", "kappa = { A = -1.0 }"), ("Gradient: kappa.A = -1.0: must be at least 0",)),
    "negative mobility": (plain("value = 1.0", "value = -1.0"), ("[mobility] Constant: value = -1.0: must be positive",)),
    "negative rho": (plain(SOLUTION, 'kind = "DoubleWell"\nrho = -3.0'), ("DoubleWell: rho = -3.0: must be positive",)),
    "phases in the wrong order": (
        plain(SOLUTION, 'kind = "DoubleWell"\nrho = 3.0\na = 0.7\nb = 0.3'),
        ("DoubleWell: a = 0.7 must be less than b = 0.3",),
    ),
    "negative chain length": (plain(SOLUTION, 'kind = "FloryHuggins"\nchi = 3.0\nN_A = -1'), ("N_A = -1", "greater than or equal to 1")),
    "negative temperature": (units("1000 K", "-1000 K"), ("temperature = '-1000 K': must be positive",)),
    "negative diffusivity": (units("1e-17", "-1e-17"), ("Degenerate: diffusivity = '-1e-17 m^2/s': must be positive",)),
    "negative end": (plain("end = 1.0", "end = -1.0"), ("[time]: end = -1.0: must be positive",)),
    "negative step": (plain("step = 0.5", "step = -0.5"), ("[time]: step = -0.5: must be positive",)),
    "negative tolerance": (plain("step = 0.5", "tolerance = -0.5"), ("[time]: tolerance = -0.5: must be greater than 0",)),
    "negative size": (plain("size = 4.0", "size = -4.0"), ("[mesh]: size = -4.0: must be positive",)),
    "no cells": (plain("cells = 8", "cells = 0"), ("[mesh]: cells = 0: must be greater than 0",)),
    "half a cell": (plain("cells = 8", "cells = 8.5"), ("[mesh]: cells = 8.5: must be a whole number",)),
    "infinite": (plain("kappa = 1.0", "kappa = inf"), ("kappa = inf: must be finite",)),
    "not a number": (plain("chi = 3.0", "chi = nan"), ("chi = nan: must be a finite number",)),
    "step and tolerance": (plain("step = 0.5", "step = 0.5\ntolerance = 0.1"), ("either step (fixed) or tolerance", "not both")),
    "chi and interaction": (
        plain("chi = 3.0", "chi = 3.0\ninteraction = 2.0"),
        ("exactly one of interaction, chi", "given: interaction, chi"),
    ),
    "flux and reservoir": (plain(RESERVOIR, RESERVOIR + "\nflux = { A = 0.1 }"), ("'A' has both a flux and a fixed value",)),
    "coordinates of a probe": (plain("at = [1.0]", "at = [1.0, 2.0]"), ("[[output.probe]] p: at has 2 numbers", "1 dimension")),
    "probe outside": (plain("at = [1.0]", "at = [5.0]"), ("[[output.probe]] p: the point (5) lies outside the mesh",)),
    "average of nothing": (plain("x < 2", "x > 20"), ("[[output.average]] h: where = 'x > 20' holds at no vertex",)),
    "average of a number": (plain("x < 2", "x"), ("[[output.average]]", "where = 'x' must be a condition", "x < 0.5")),
    "average of all and of a region": (plain('where = "x < 2"', 'where = "x < 2"\nregion = "core"'), ("either where", "or region")),
    "times beyond the end": (plain("times = 2", "times = [0.5, 2.0]"), ("[output] times: 2.0 is after the end", "end = 1.0")),
    "negative times": (plain("times = 2", "times = [-0.5, 1.0]"), ("[output]: times = [-0.5, 1.0]: must be at least 0",)),
    "no times": (plain("times = 2", "times = 0"), ("[output]: times = 0: must be at least 1",)),
    # types
    "boolean for a quantity": (plain("kappa = 1.0", "kappa = true"), ("kappa = true: must be a number, not true or false",)),
    "boolean for a number": (plain("chi = 3.0", "chi = true"), ("chi = true: must be a number",)),
    "boolean for a count": (plain("cells = 8", "cells = true"), ("cells = [true]: must be a number",)),
    "boolean for the seed": (plain("seed = 1", "seed = true"), ("seed = true: must be a number",)),
    "boolean for times": (plain("times = 2", "times = true"), ("times = true: give how many (50) or a list",)),
    "text for a quantity": (plain("kappa = 1.0", 'kappa = "one"'), ("kappa = 'one': is not a number with a unit", '"1.5 J/m"')),
    "text for a number": (plain("chi = 3.0", 'chi = "three"'), ("chi = 'three': must be a number",)),
    "text for a count": (plain("cells = 8", 'cells = "eight"'), ("cells = 'eight': must be a whole number",)),
    "text for true": (plain("step = 0.5", 'step = 0.5\nsteady = "yes"'), ("steady = 'yes': must be true or false",)),
    "text for a coordinate": (plain("at = [1.0]", 'at = ["here"]'), ("[[output.probe]]: at = 'here'", '"1.5 m"')),
    "number for a list": (plain("at = [1.0]", "at = 1.0"), ("[[output.probe]]: at = 1.0: must be a list", "at = [x, y]")),
    "number for text": (plain('title = "A binary"', "title = 3"), ("title = 3: must be text, in quotes",)),
    "number for a table": (plain(RESERVOIR, "concentration = 0.5"), ("[boundary.left]: concentration = 0.5: must be a table",)),
    "number for a boundary": (
        plain(f"[boundary.left]\n{RESERVOIR}", "[boundary]\nleft = 0.5"),
        ("[boundary.left] = 0.5: must be a table",),
    ),
    "text for the mesh": (plain(MESH, "", "seed = 1", 'seed = 1\nmesh = "a.msh"'), ("mesh = 'a.msh': must be a table",)),
    "single brackets": (plain("[[species]]", "[species]"), ("species", "write [[species]], with double brackets")),
    "single brackets of an energy": (plain(GRADIENT, "", "[[free_energy]]", "[free_energy]"), ("[[free_energy]]", "double brackets")),
    "single brackets of a probe": (plain("[[output.probe]]", "[output.probe]"), ("probe", "write [[output.probe]], with double brackets")),
    "double brackets": (plain("[mobility]", "[[mobility]]"), ("[mobility] must be a table",)),
    # what is missing
    "no mesh": (plain(MESH, ""), ("needs 'mesh'", "[mesh] with a file, or a shape")),
    "no time": (plain("[time]\nend = 1.0\nstep = 0.5\n", ""), ("needs 'time'", "[time] with an end")),
    "no mobility": (plain('[mobility]\nkind = "Constant"\nvalue = 1.0\n', ""), ("needs 'mobility'", "[mobility] with a kind")),
    "no species": (plain(f'[[species]]\nname = "A"\ninitial = {INITIAL}\n', ""), ("needs 'species'", "[[species]]", "name and initial")),
    "no free energy": (plain(f"[[free_energy]]\n{SOLUTION}\n\n{GRADIENT}", ""), ("needs 'free_energy'", "[[free_energy]]", "kind")),
    "no end": (plain("end = 1.0\n", ""), ("[time] needs 'end'",)),
    "no size": (plain("size = 4.0\n", ""), ("shape = 'interval' needs 1 (x) numbers in 'size', not 0",)),
    "no name": (plain('name = "A"\n', ""), ("[[species]] needs 'name'",)),
    "no initial": (plain(f"initial = {INITIAL}\n", ""), ("'A' needs initial", "number", "expression", "regions")),
    "no value": (plain("value = 1.0\n", ""), ("[mobility] Constant needs 'value'",)),
    "no rho": (plain(SOLUTION, 'kind = "DoubleWell"'), ("[[free_energy]] DoubleWell needs 'rho'", "barrier")),
    "no chi": (plain("chi = 3.0\n", ""), ("RegularSolution: give exactly one of interaction, chi, interactions (given: none)",)),
    # expressions
    "forbidden name": (plain(INITIAL, "\"__import__('os').system('ls')\""), ("[[species]]: initial", "is not a function")),
    "unknown name": (plain("cos(pi*x/4)", "cos(pi*X/4)"), ("[[species]]: initial", "unknown name 'X'", "legal: noise, pi, t, x, y, z")),
    "unknown function": (plain("cos(", "cosh("), ("unknown function 'cosh'", "did you mean 'cos'?")),
    "syntax error": (plain("x < 2", "x <"), ("[[output.average]]: where = 'x <'", "not an expression", "where")),
    "wrong power": (plain("cos(pi*x/4)", "x^2"), ("'^' is not legal", "use ** for powers")),
    "empty expression": (plain(INITIAL, '""'), ("the expression is empty",)),
    "noise in a reservoir": (plain("A = 0.5", 'A = "0.5 + 0.1*noise"'), ("[boundary.left]", "noise is for initial values only")),
    "noise in a flux": (plain(RESERVOIR, 'flux = { A = "noise" }'), ("[boundary.left]", "noise is for initial values only")),
    "noise in a source": (plain('name = "A"', 'name = "A"\nsource = "noise"'), ("source = 'noise'", "noise is for initial values only")),
    "noise in an average": (plain("x < 2", "noise < 0"), ("where = 'noise < 0'", "noise is for initial values only")),
    # TOML
    "TOML": (plain("value = 1.0", "value = "), ("problem.toml is not valid TOML", "line 24")),
    "key twice": (plain("value = 1.0", "value = 1.0\nvalue = 2.0"), ("problem.toml is not valid TOML", "line 25")),
    # a user's own module
    "module": (plain(SOLUTION, 'kind = "nowhere.Mine"'), ("kind = 'nowhere.Mine'", "no module 'nowhere'", "beside the problem file, in /")),
    "class": (plain(SOLUTION, 'kind = "input_modules.Goood"'), ("module input_modules has no class 'Goood'", "did you mean 'Good'?")),
    "class of another kind": (plain(SOLUTION, 'kind = "input_modules.Alien"'), ("Alien must be a subclass of fem_diffusion.Term",)),
    "energy for a mobility": (
        plain('kind = "Constant"\nvalue = 1.0', 'kind = "input_modules.Good"'),
        ("[mobility] kind = 'input_modules.Good'", "subclass of fem_diffusion.Mobility"),
    ),
    "class without a density": (plain(SOLUTION, 'kind = "input_modules.Abstract"'), ("Abstract must define density",)),
    "module that raises": (
        plain(SOLUTION, 'kind = "input_raises.Mine"'),
        ("cannot be imported", "RuntimeError: not today", "input_raises.py, line 1"),
    ),
    "module with a syntax error": (plain(SOLUTION, 'kind = "input_syntax.Mine"'), ("cannot be imported", "input_syntax.py, line 1")),
    "module that needs another": (plain(SOLUTION, 'kind = "input_imports.Mine"'), ("No module named 'not_installed'",)),
    # what does not go together
    "no convex part": (
        plain(SOLUTION, 'kind = "input_modules.Good"', "step = 0.5", 'step = 0.5\nscheme = "convex-split"'),
        ("'convex-split' needs the convex part", "Good has none", "convex_part", "'avf'"),
    ),
    "wetting without gradient": (
        plain(RESERVOIR, 'wetting = { contact_angle = "60 deg" }', GRADIENT, ""),
        ("wetting needs an interface", "kind = 'Gradient'"),
    ),
    "wetting of one phase": (
        plain(RESERVOIR, 'wetting = { contact_angle = "60 deg" }', "chi = 3.0", "chi = 1.0"),
        ("wetting needs two phases", "no binodal"),
    ),
    "wetting of a ternary": (
        two_species(plain(RESERVOIR, 'wetting = { contact_angle = "60 deg" }')),
        ("[boundary.left] wetting is for a binary", "A, B"),
    ),
    "contact angle": (plain(RESERVOIR, 'wetting = { contact_angle = "270 deg" }'), ("'270 deg'", "between 0 and 180 deg")),
    "one chi for three components": (
        two_species(PLAIN).replace('{ "A-B" = 1.0 }', "3.0"),
        ("one number for 3 components (A, B, rest)", "A-B"),
    ),
    "polymer of three components": (
        changed(two_species(PLAIN), 'kind = "RegularSolution"\nchi = { "A-B" = 1.0 }', 'kind = "FloryHuggins"\nchi = 3.0'),
        ("FloryHuggins is a binary", "A, B, rest"),
    ),
    "balance with initial": (plain('name = "A"', 'name = "A"\nbalance = true'), ("'A' is the balance", "takes no initial")),
    "balance alone": (plain(f"initial = {INITIAL}", "balance = true"), ("at least one species that is not the balance",)),
}

FILES = {
    "input_modules.py": """from typing import Annotated
from fem_diffusion import Term
from fem_diffusion.units import Quantity

class Good(Term):
    def density(self, c, phi):
        return c[0]**2 * (1 - c[0])**2

class Abstract(Term):
    pass

class PerMole(Term):
    L: Annotated[float, Quantity("J/mol")]

    def density(self, c, phi):
        return self.L * c[0]**2 * (1 - c[0])**2

class Alien:
    pass
""",
    "input_raises.py": 'raise RuntimeError("not today")\n',
    "input_syntax.py": "def f(:\n",
    "input_imports.py": "import not_installed\n",
    "square.geo": "Point(1) = {0, 0, 0, 1}; l[] = Extrude {1, 0, 0} { Point{1}; Layers{2}; };"
    " s[] = Extrude {0, 1, 0} { Curve{l[1]}; Layers{2}; };\n",
}
FILES["tagged.geo"] = FILES["square.geo"] + 'Physical Curve("floor") = {l[1]}; Physical Surface("core") = {s[1]};\n'


def refusal(path: Path, *changes: str) -> str:
    """The message with which a problem is refused before anything is computed."""
    with pytest.raises(InputError) as caught:
        system = System(Problem.read(path, _changes(list(changes))))
        system.initialise()
        Columns(system)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, folder: Path) -> None:
    text, fragments = CASES[case]
    assert_message(refusal(write(folder, text, FILES)), fragments)


@pytest.mark.parametrize("case", ["probe outside", "region without tags", "average of nothing"])
def test_check_refuses_what_run_refuses(case: str, folder: Path) -> None:
    text, fragments = CASES[case]
    problem = Problem.read(write(folder, text, FILES))
    with pytest.raises(InputError) as from_check:
        check(System(problem))
    with pytest.raises(InputError) as from_run:
        run(problem, folder / "out")
    assert str(from_check.value) == str(from_run.value)
    assert all(fragment in str(from_check.value) for fragment in fragments)
    COMM.barrier()
    assert not (folder / "out").exists()


@pytest.mark.parametrize("case", ["probe outside", "region without tags", "average of nothing"])
def test_output_that_is_refused_leaves_no_folder(case: str, folder: Path) -> None:
    system = System(Problem.read(write(folder, CASES[case][0], FILES)))
    system.initialise()
    with pytest.raises(InputError):
        Output(folder / "out", system, Integrator(system))
    COMM.barrier()
    assert not (folder / "out").exists()


@pytest.mark.short
@pytest.mark.parametrize("text", [PLAIN, UNITS, two_species(plain("{ A = 0.5 }", "{ A = 0.5, B = 0.1 }"))])
def test_unchanged_texts_are_legal(text: str, folder: Path) -> None:
    system = System(Problem.read(write(folder, text, FILES)))
    system.initialise()
    Columns(system)


@pytest.mark.short
@pytest.mark.parametrize(
    ("change", "fragments"),
    [
        ("time.end", ("--set time.end", "key=value")),
        ("time.ende=3", ("[time] has no parameter 'ende'", "did you mean 'end'?")),
        ("tim.end=3", ("no table or key 'tim'", "did you mean 'time'?")),
        ("time.end.late=3", ("--set time.end.late: 'end' is not a table",)),
        ("time.end=late", ("[time]: end = 'late'", '"1.5 s"')),
        ("free_energy.5.kappa=1", ("no entry '5'", "0 (RegularSolution), 1 (Gradient)")),
        ("free_energy.Gradint.kappa=1", ("no entry 'Gradint'", "0 (RegularSolution), 1 (Gradient)")),
        ("mesh.size=-1", ("[mesh]: size = -1: must be positive",)),
    ],
)
def test_wrong_change(change: str, fragments: tuple[str, ...], folder: Path) -> None:
    message = refusal(write(folder, PLAIN), change)
    for fragment in fragments:
        assert fragment in message


def test_change_reaches_entries_by_number_name_and_kind(folder: Path) -> None:
    path = write(folder, PLAIN)
    changes = _changes(
        ["free_energy.0.chi=2.5", "free_energy.Gradient.kappa=0.5", "species.A.initial=0.3", 'time.end="2.0"', "mesh.size=[3.0]"]
    )
    problem = Problem.read(path, changes)
    assert problem.free_energy[0].chi == 2.5  # type: ignore[attr-defined]
    assert problem.free_energy[1].kappa == 0.5  # type: ignore[attr-defined]
    assert problem.species[0].initial.value == 0.3  # type: ignore[union-attr]
    assert (problem.time.end, problem.mesh.size) == (2.0, (3.0,))


def test_missing_file_and_file_that_is_no_text(folder: Path) -> None:
    assert "cannot read" in refusal(folder / "nothing.toml")
    if COMM.rank == 0:
        (folder / "image.toml").write_bytes(b"\x89PNG\r\n\xff\xfe")
    COMM.barrier()
    assert "image.toml is not text in UTF-8" in refusal(folder / "image.toml")
