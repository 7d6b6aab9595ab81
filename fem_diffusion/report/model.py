"""What was solved: the equations of a problem with its parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..results import Results
from . import formulas
from .text import table, value
from .typeset import typeset

Table = Mapping[str, Any]


def section(results: Results, molar: bool) -> str:
    """The part of the page, as HTML."""
    problem = results.problem
    system = "plain" if not results.dimensional else "molar" if molar else "fractions"
    terms, species = problem["free_energy"], problem["species"]
    kinds = {problem["mobility"]["kind"], *(term["kind"] for term in terms)}
    several = sum(not one["balance"] for one in species) > 1
    closed = any(one["balance"] for one in species)
    source = bool(problem.get("reaction")) or any("source" in one for one in species)
    walls = any({"wetting", "surface_charge", "stern"} & set(given) for given in problem.get("boundary", {}).values())
    equations = [formulas.balance(several, source), _fluxes(problem["mobility"], several, system)]
    equations += [formulas.potential(several), formulas.free_energy(len(terms), walls)]
    if any(term["kind"] == "Electrostatic" for term in terms):
        equations.append(formulas.POISSON)
    parts = [
        f'<div class="equations">{"".join(f"<div>{typeset(tex)}</div>" for tex in equations)}</div>',
        f'<p class="note">{_legend(species, closed or not kinds <= formulas.INDEPENDENT, molar, system)}</p>',
        '<div class="terms">',
        *(_term(term, k + 1 if len(terms) > 1 else 0, several, closed, system, results) for k, term in enumerate(terms)),
        _mobility(problem["mobility"], several, system, results),
        "</div>",
        '<div class="tables">',
        _species(species),
        _boundaries(problem.get("boundary", {})),
        _reactions(problem.get("reaction", [])),
        _settings(problem),
        "</div>",
    ]
    return "\n".join(parts)


def _fluxes(mobility: Table, several: bool, system: str) -> str:
    """The fluxes, or where their equations are those of the mobility the forces in them."""
    of_forces = mobility["kind"] in ("MaxwellStefan", "Darken")
    return formulas.forces(system) if of_forces else formulas.flux(several)


def _legend(species: Sequence[Table], closed: bool, molar: bool, system: str) -> str:
    solved = [one["name"] for one in species if not one["balance"]]
    balance = next((one["name"] for one in species if one["balance"]), None)
    sized = any(one["size"] != 1 for one in species)
    names = " and ".join(filter(None, [", ".join(map(_name, solved[:-1])), _name(solved[-1])]))
    rest = (
        "1 − <i>c</i>"
        if len(solved) == 1
        else f"<i>x</i><sub>0</sub> = 1 − Σ {'<i>v<sub>i</sub></i> ' if sized else ''}<i>x<sub>i</sub></i>"
    )
    parts = [f"<i>c</i>{'' if len(solved) == 1 else '<sub><i>i</i></sub>'}: {'amount' if molar else 'fraction'} of {names}"]
    if not molar and len(solved) > 1:
        parts.append("<i>x<sub>i</sub></i> = <i>c<sub>i</sub></i>")
    if molar:
        parts.append("<i>x<sub>i</sub></i> = <i>c<sub>i</sub> V</i><sub>m</sub>, the fraction of the sites")
    if closed:
        parts.append(f"{rest}: {_name(balance) if balance else 'the rest'}")
    if len(solved) > 1:
        parts.append(
            "<i>i</i>, <i>j</i> number the species that are solved for, <i>k</i>, <i>l</i> all components"
            if closed
            else "<i>i</i>, <i>j</i>, <i>k</i> number the species"
        )
    if system == "plain":
        parts.append("energies in units of <i>RT</i>/<i>V</i><sub>m</sub>")
    return "; ".join(parts) + "."


def _term(term: Table, number: int, several: bool, closed: bool, system: str, results: Results) -> str:
    kind = term["kind"]
    tex = formulas.density(kind, number, several, closed, system)
    if tex and ("interaction" in term or "interactions" in term):
        tex = formulas.with_interactions(tex)
    formula = typeset(tex) if tex else _source(kind, results)
    if kind == "Electrostatic":
        formula += f'<div class="where">{typeset(formulas.charge_density(system, "fixed_charge" in term))}</div>'
    return _card(kind, "free energy", formula, _parameters(term))


def _mobility(mobility: Table, several: bool, system: str, results: Results) -> str:
    kind = mobility["kind"]
    tex = formulas.mobility(kind, several, "stagnant" in mobility, system)
    return _card(kind, "mobility", typeset(tex) if tex else _source(kind, results), _parameters(mobility))


def _card(kind: str, what: str, formula: str, parameters: str) -> str:
    return f'<article><h3>{escape(kind)} <span>{what}</span></h3><div class="scroll">{formula}</div>{parameters}</article>'


def _source(kind: str, results: Results) -> str:
    """A class of the user's own, as it is written in the copy of its module."""
    module, _, name = kind.rpartition(".")
    path = results.folder / f"{module.rpartition('.')[2]}.py"
    try:
        text = path.read_text()
        found = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == name)
    except (OSError, SyntaxError, StopIteration):
        return f"<code>{escape(kind)}</code>"
    return f"<pre>{escape(ast.get_source_segment(text, found) or '')}</pre>"


def _parameters(table: Table) -> str:
    rows = []
    for key, given in table.items():
        if key == "kind":
            continue
        symbol = {"RedlichKister": "L", "Margules": "A"}.get(table["kind"]) if key == "coefficients" else formulas.SYMBOLS.get(key)
        mark = f"<i>{symbol}</i>" if symbol and symbol != key else escape(key)
        if isinstance(given, Mapping):
            rows += [(f"{mark}<sub>{escape(name)}</sub>", value(item)) for name, item in given.items()]
        else:
            rows.append((mark, value(given)))
    return f"<dl>{''.join(f'<div><dt>{mark}</dt><dd>{text}</dd></div>' for mark, text in rows)}</dl>" if rows else ""


def _species(species: Sequence[Table]) -> str:
    columns = {
        "initial": "at the start",
        "charge": "charge",
        "size": "sites",
        "diffusivity": "diffusivity",
        "source": "source",
    }
    told = [
        key
        for key in columns
        if any(one.get(key, default) != default for one in species for default in [{"charge": 0, "size": 1}.get(key)])
    ]
    rows = [
        [
            _name(one["name"]),
            *("what the others leave" if key == "initial" and one["balance"] else value(one[key]) if key in one else "" for key in told),
        ]
        for one in species
    ]
    return _titled("Species", ["", *(columns[key] for key in told)], rows)


def _boundaries(boundaries: Mapping[str, Table]) -> str:
    rows = [[_name(name), "<br>".join(_condition(kind, given) for kind, given in table.items())] for name, table in boundaries.items()]
    rows.append(["elsewhere" if rows else "everywhere", "no flux"])
    return _titled("Boundaries", ["", "condition"], rows)


def _condition(kind: str, given: Any) -> str:
    if kind in ("concentration", "chemical_potential", "flux", "exchange", "butler_volmer"):
        return "<br>".join(_of_species(kind, escape(name), one) for name, one in given.items())
    if kind == "potential":
        return f"<i>φ</i> = {value(given)}"
    if kind == "surface_charge":
        return f"<i>ε</i> ∂<i>φ</i>/∂<i>n</i> = {value(given)}"
    if kind == "wetting":
        return f"contact angle {value(given['contact_angle'])}"
    return f"{escape(kind.replace('_', ' '))}: {value(given)}"


def _of_species(kind: str, name: str, given: Any) -> str:
    flux = f"<b>J</b><sub>{name}</sub>·<b>n</b>"
    if kind == "concentration":
        return f"<i>c</i><sub>{name}</sub> = {value(given)}"
    if kind == "chemical_potential":
        return f"<i>μ</i><sub>{name}</sub> = {value(given)}"
    if kind == "flux":
        return f"{flux} = {value(given)}"
    if kind == "exchange":
        return f"{flux} = <i>k</i> ({_driven(name, given)}), <i>k</i> = {value(given['coefficient'])}"
    return f"Butler and Volmer, {name}: {value(given)}"


def _driven(name: str, exchange: Table) -> str:
    if "reference" in exchange:
        return f"<i>c</i><sub>{name}</sub> − {value(exchange['reference'])}"
    return f"<i>μ</i><sub>{name}</sub> − {value(exchange['potential_reference'])}"


def _reactions(reactions: Sequence[Table]) -> str:
    def side(stoichiometry: Table, sign: int) -> str:
        some = [(name, sign * n) for name, n in stoichiometry.items() if sign * n > 0]
        return " + ".join(f"{'' if n == 1 else f'{n:g} '}{_name(name)}" for name, n in some) or "∅"

    rows = [[f"{side(one['stoichiometry'], -1)} → {side(one['stoichiometry'], 1)}", value(one["rate"])] for one in reactions]
    return _titled("Reactions", ["", "rate"], rows) if rows else ""


def _settings(problem: Table) -> str:
    time = problem["time"]
    rows = [
        [escape(key.replace("_", " ")), value(problem[key])] for key in ("temperature", "molar_volume", "dielectrics") if key in problem
    ]
    steps = f"fixed, {value(time['step'])}" if "step" in time else f"by error control, tolerance {value(time['tolerance'])}"
    rows += [["until", "the steady state" if time["steady"] else value(time["end"])], ["scheme", escape(time["scheme"])], ["steps", steps]]
    return _titled("Settings", ["", ""], rows)


def _titled(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<div><h3>{title}</h3>{table(head, rows)}</div>"


def _name(name: str) -> str:
    return f"<b>{escape(name)}</b>"
