"""Where the equations of a step were linearised: what an old Jacobian, and factors of it, can be made from again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .formulation import Formulation


@dataclass(frozen=True)
class Place:
    """All that a Jacobian depends on.

    u, u_old:  the owned unknowns at the iterate and at the start of the step, (vertices, block)
    dt, a0:    of the step
    time:      at which everything is evaluated that depends on time
    """

    u: np.ndarray
    u_old: np.ndarray
    dt: float
    a0: float
    time: float

    @classmethod
    def of(cls, formulation: Formulation) -> Place:
        """Where the formulation is."""
        u, u_old = (f.x.array[: formulation.owned].reshape(-1, formulation.block).copy() for f in (formulation.u, formulation.u_old))
        return cls(u, u_old, *(float(constant.value) for constant in (formulation.dt, formulation.a0, formulation.time)))

    def restore(self, formulation: Formulation) -> None:
        """Bring the formulation there. Collective."""
        formulation.dt.value, formulation.a0.value = self.dt, self.a0
        formulation.u_old.x.array[: formulation.owned] = self.u_old.ravel()
        formulation.u_old.x.scatter_forward()
        formulation.at_time(self.time)
        formulation.fields[:] = self.u
        formulation.changed()
