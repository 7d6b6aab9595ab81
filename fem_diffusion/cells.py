"""A state in the cells of the mesh: fluxes, gradients, dissipation, and the velocity of the lattice."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import basix
import numpy as np
import ufl
from dolfinx import fem, la

from . import compat
from .formulation import Entropy, Formulation, parts
from .mobility import Darken
from .operators import compile_expression, compile_form


class Cells:
    """Of the state that a formulation's u holds, on the cells that this rank owns; all in solver units."""

    def __init__(self, formulation: Formulation) -> None:
        self._formulation, self._mesh = formulation, formulation.geometry.mesh

    def fluxes(self) -> dict[str, np.ndarray]:
        """The mean J_i by independent species, (cells, dimension)."""
        return self._by_species(self._means(self._expressions["fluxes"]))

    def gradients(self) -> dict[str, np.ndarray]:
        """The gradient of the piecewise linear c_i in the middle of the cell, (cells, dimension)."""
        self._nodal.x.array[:] = self._formulation.all_concentrations().ravel()
        return self._by_species(self._means(self._expressions["gradients"]))

    def dissipation(self) -> np.ndarray:
        """int -sum_i J_i . grad mu_i over each cell, (cells,)."""
        return self._integrals(self._dissipation)

    def dissipation_density(self) -> np.ndarray:
        """Its mean over each cell, (cells,)."""
        integrals = self.dissipation()
        return np.divide(integrals, self.volumes, out=np.zeros_like(integrals), where=self.volumes > 0)

    @cached_property
    def volumes(self) -> np.ndarray:
        """(cells,), zero of dielectrics"""
        one = ufl.TestFunction(self._piecewise.function_space)
        return self._integrals(compile_form(one * self._formulation.geometry.dx({"quadrature_degree": 4})))

    def lattice_velocity(self) -> tuple[np.ndarray, np.ndarray]:
        """Of Darken's mobility: means of the cells, (cells, d), and their averages at all vertices of this rank, (vertices + ghosts, d)."""
        formulation, piecewise = self._formulation, self._piecewise
        means = self._means(self._expressions["lattice"])
        averaging = piecewise * ufl.TestFunction(formulation.scalar_space) * formulation.lumped
        nodal, columns = fem.Function(formulation.scalar_space), []
        for component in means.T:
            piecewise.x.array[: len(component)] = component
            piecewise.x.scatter_forward()
            nodal.x.array[: formulation.vertices] = formulation.per_volume(formulation.assembled(averaging))
            nodal.x.scatter_forward()
            columns.append(nodal.x.array.copy())
        return means, np.column_stack(columns)

    # -- what is compiled -----------------------------------------------------------------------------------------------------

    @cached_property
    def _expressions(self) -> dict[str, Any]:
        """All fluxes as one: what is common to them is then computed once."""
        corners = basix.geometry(self._mesh.basix_cell())
        middle = corners.mean(axis=0, keepdims=True)
        formulation, mobility = self._formulation, self._formulation.mobility
        # where the mobility is taken at the vertices, so are the fluxes
        points = corners if isinstance(formulation, Entropy) else middle
        u, c = formulation.u, formulation.c(formulation.u)
        expressions = {
            "fluxes": (ufl.as_tensor(formulation.fluxes(u, c)), points),
            "gradients": (ufl.as_tensor([ufl.grad(ci) for ci in parts(self._nodal)]), middle),
        }
        if isinstance(mobility, Darken):
            expressions["lattice"] = (mobility.lattice_velocity(c, formulation.forces(u, c)), points)
        return {name: compile_expression(expression, at) for name, (expression, at) in expressions.items()}

    @cached_property
    def _dissipation(self) -> Any:
        formulation = self._formulation
        return compile_form(formulation.dissipation_density() * ufl.TestFunction(self._piecewise.function_space) * formulation.dx)

    @cached_property
    def _piecewise(self) -> fem.Function:
        return fem.Function(fem.functionspace(self._mesh, ("DG", 0)))

    @cached_property
    def _nodal(self) -> fem.Function:
        return fem.Function(self._formulation.c_before.function_space)

    # -- numbers --------------------------------------------------------------------------------------------------------------

    def _integrals(self, form: Any) -> np.ndarray:
        """A form's vector on the cells."""
        index_map = self._piecewise.function_space.dofmap.index_map
        vector = la.vector(index_map, 1)
        fem.assemble_vector(vector.array, form)
        values: np.ndarray = vector.array[: index_map.size_local].copy()
        return values

    def _means(self, expression: Any) -> np.ndarray:
        """Over the expression's points, (cells, components); zero in dielectrics."""
        cells = np.arange(self._mesh.topology.index_map(self._mesh.topology.dim).size_local, dtype=np.int32)
        values: np.ndarray = compat.evaluate(expression, self._mesh, cells).mean(axis=1)
        values[~self._formulation.geometry.is_matter[: len(cells)]] = 0.0
        return values

    def _by_species(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Rows of n vectors, (cells, n dimension), as one array (cells, dimension) for each species."""
        vectors = values.reshape(len(values), self._formulation.n, -1)
        return {name: vectors[:, i] for i, name in enumerate(self._formulation.model.names)}
