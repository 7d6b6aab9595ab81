r"""The formulas of energies and mobilities by their kind, in TeX.

i, j number the species that are solved for, k, l all components, what closes the sum to one among them; x_k is the fraction of one.
@ stands for RT/V_m, /@ for one over that (over RT V_m where L is that of amounts) and % for 1/V_m: they are one in a problem without units.
"""

from __future__ import annotations

FREE_ENERGY = {
    "Ideal": r"@\,\sum_k\, x_k\,\ln x_k",
    "LatticeGas": r"@\,[\sum_i\, x_i\,\ln x_i + x_0\,\ln x_0]",
    "RegularSolution": r"@\,[\sum_k\, x_k\,\ln x_k + \sum_{k<l}\, \chi_{kl}\, x_k x_l]",
    "PairInteraction": r"@\,\sum_{k<l}\, \chi_{kl}\, x_k x_l",
    "FloryHuggins": r"@\,[\dfrac{c}{N_A}\,\ln c + \dfrac{1-c}{N_B}\,\ln(1-c) + \chi\, c\,(1-c)]",
    "RedlichKister": r"%\,\sum_{k<l}\, x_k x_l \sum_m\, L_{kl}^{(m)} (x_k - x_l)^m",
    "Margules": r"%\,\sum_{k<l}\, x_k x_l\, (A_{lk} x_k + A_{kl} x_l)",
    "Wilson": r"-@\,\sum_k\, x_k\,\ln \sum_l\, \Lambda_{kl} x_l",
    "NRTL": r"@\,\sum_k\, x_k\, \dfrac{\sum_l\, \tau_{lk} G_{lk} x_l}{\sum_l\, G_{lk} x_l}, \quad G_{kl} = e^{-\alpha_{kl} \tau_{kl}}",
    "DoubleWell": r"\varrho\,(c-a)^2 (b-c)^2",
    "Quadratic": r"\dfrac{1}{2} \sum_{ij}\, a_{ij}\, c_i c_j",
    "Gradient": r"\sum_i\, \dfrac{\kappa_i}{2}\, |\nabla c_i|^2",
    "ExternalPotential": r"%\,\sum_k\, V_k\, x_k",
    "Electrostatic": r"\rho\,\phi - \dfrac{\varepsilon}{2}\, |\nabla \phi|^2",
}
"""f, the density of the term."""

BINARY = {
    "Ideal": r"@\,[c\,\ln c + (1-c)\,\ln(1-c)]",
    "LatticeGas": r"@\,[c\,\ln c + (1-c)\,\ln(1-c)]",
    "RegularSolution": r"@\,[c\,\ln c + (1-c)\,\ln(1-c) + \chi\, c\,(1-c)]",
    "PairInteraction": r"@\,\chi\, c\,(1-c)",
    "Gradient": r"\dfrac{\kappa}{2}\, |\nabla c|^2",
    "Quadratic": r"\dfrac{a}{2}\, c^2",
}
"""The same where one species is solved for."""

MOBILITY = {
    "Constant": r"L_{ij} = M\,\delta_{ij}",
    "Degenerate": r"L_{ii} = D\, c_i (1 - c_i)\,/@",
    "Fick": r"L_{ii} = D_i\, x_i\,/@",
    "VolumeExclusion": r"L_{ii} = D_i\, x_i\, x_0\,/@",
    "Stirring": r"L_{ij} = D\,(x_i \delta_{ij} - x_i x_j)\,/@",
    "Onsager": r"L_{ij} = L_{ji}(c)",
    "MaxwellStefan": r"\sum_{l \neq k}\, \dfrac{x_l \mathbf{J}_k - x_k \mathbf{J}_l}{D_{kl}} = -\mathbf{d}_k, \quad \sum_k\, \mathbf{J}_k = 0",
    "Darken": r"\mathbf{J}_k = -D_k \mathbf{d}_k + x_k \mathbf{v}, \quad \mathbf{v} = \sum_l\, D_l \mathbf{d}_l",
}
"""L, or the equations for the fluxes."""

BINARY_MOBILITY = {
    "Constant": r"L = M",
    "Degenerate": r"L = D\, c\,(1 - c)\,/@",
    "Fick": r"L = D\, c\,/@",
    "VolumeExclusion": r"L = D\, c\,(1 - c)\,/@",
    "Stirring": r"L = D\, c\,(1 - c)\,/@",
    "Onsager": r"L = L(c)",
}

INDEPENDENT = {"Ideal", "DoubleWell", "Quadratic", "Gradient", "ExternalPotential", "Electrostatic", "Constant", "Fick", "Onsager"}
"""Kinds in which nothing closes a sum to one, unless a species is the balance."""

FORCES = r"\mathbf{d}_i = \sum_j\, (x_i \delta_{ij} - x_i x_j)\,\nabla \mu_j\,/@"
POISSON = r"\dfrac{\delta F}{\delta \phi} = 0: \quad -\nabla \cdot (\varepsilon\, \nabla \phi) = \rho"
STAGNANT = r"\sum_{l \neq k}\, \dfrac{x_l \mathbf{J}_k - x_k \mathbf{J}_l}{D_{kl}} = -\mathbf{d}_k, \quad \mathbf{J}_0 = 0"

SYMBOLS = {
    "interaction": "Ω",
    "interactions": "Ω",
    "chi": "χ",
    "kappa": "κ",
    "rho": "ϱ",
    "relative_permittivity": "ε<sub>r</sub>",
    "permittivity": "ε",
    "fixed_charge": "ρ<sub>f</sub>",
    "site_concentration": "1/V<sub>m</sub>",
    "tau": "τ",
    "alpha": "α",
    "Lambda": "Λ",
    "molar_volumes": "V",
    "potential": "V",
    "value": "M",
    "diffusivity": "D",
    "diffusivities": "D",
    "matrix": "matrix",
    "N_A": "N<sub>A</sub>",
    "N_B": "N<sub>B</sub>",
    "a": "a",
    "b": "b",
}
"""Of parameters, in HTML; those that are not here go by their name. RedlichKister and Margules call theirs L and A."""


def balance(several: bool, source: bool) -> str:
    """The equation that is solved."""
    i = "_i" if several else ""
    return rf"\dfrac{{\partial c{i}}}{{\partial t}} + \nabla \cdot \mathbf{{J}}{i} = {f'R{i}' if source else '0'}"


def flux(several: bool) -> str:
    return r"\mathbf{J}_i = -\sum_j\, L_{ij}\, \nabla \mu_j" if several else r"\mathbf{J} = -L\, \nabla \mu"


def potential(several: bool) -> str:
    return r"\mu_i = \dfrac{\delta F}{\delta c_i}" if several else r"\mu = \dfrac{\delta F}{\delta c}"


def free_energy(terms: int, walls: bool) -> str:
    """F as the integral of its terms."""
    f = " + ".join(f"f_{{{k + 1}}}" for k in range(terms)) if terms > 1 else "f"
    return rf"F = \int\, {f'({f})' if terms > 1 else f}\, dV" + (r" + \int\, g\, dS" if walls else "")


def density(kind: str, number: int, several: bool, closed: bool, system: str) -> str | None:
    """f_number = ..., or None for an energy that is not the package's own.

    closed: whether the fractions of the named species add up to one
    system: "plain", "fractions" or "molar"
    """
    if kind not in FREE_ENERGY:
        return None
    tex = FREE_ENERGY[kind] if several else BINARY.get(kind, FREE_ENERGY[kind])
    if kind == "Ideal" and not several and not closed:
        tex = r"@\,c\,\ln c"
    if kind == "DoubleWell" and several:
        tex = r"\sum_i\, \varrho\,(c_i-a)^2 (b-c_i)^2"
    return f"{f'f_{{{number}}}' if number else 'f'} = {_written(tex, system)}"


def with_interactions(tex: str) -> str:
    """chi as Omega/RT, where Omega is given."""
    return tex.replace(r"\chi_{kl}", r"\dfrac{\Omega_{kl}}{RT}").replace(r"\chi", r"\dfrac{\Omega}{RT}")


def charge_density(system: str, fixed: bool) -> str:
    """rho in the energy of charges."""
    unit = {"plain": "", "fractions": r"\dfrac{F}{V_m}\,", "molar": r"F\,"}[system]
    return rf"\rho = {unit}\sum_i\, z_i c_i" + (r" + \rho_f" if fixed else "")


def mobility(kind: str, several: bool, stagnant: bool, system: str) -> str | None:
    """L, or None for a mobility that is not the package's own."""
    if kind not in MOBILITY:
        return None
    tex = STAGNANT if stagnant else MOBILITY[kind]
    if not several:
        tex = BINARY_MOBILITY.get(kind, tex)
    return _written(tex, system)


def forces(system: str) -> str:
    return _written(FORCES, "fractions" if system == "molar" else system)


def _written(tex: str, system: str) -> str:
    over, energy, one = {
        "plain": ("", "", ""),
        "fractions": (r"\dfrac{V_m}{RT}", r"\dfrac{RT}{V_m}\,", r"\dfrac{1}{V_m}\,"),
        "molar": (r"\dfrac{1}{V_m RT}", r"\dfrac{RT}{V_m}\,", r"\dfrac{1}{V_m}\,"),
    }[system]
    if system == "plain" and tex.startswith(r"@\,[") and tex.endswith("]"):
        tex = tex[:-1].replace(r"@\,[", "", 1)
    return tex.replace(r"/@", over).replace(r"@\,", energy).replace(r"%\,", one)
