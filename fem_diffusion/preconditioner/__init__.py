"""How the linear systems of Newton's method are solved: small ones by factors, large ones by an iteration whose count hardly grows with them."""

from .base import Direct, Iterative, LinearSolver, Multigrid
from .charged import TwoLevel, TwoLevelInFractions
from .choice import choose, is_large, may_eliminate
from .gradient_flow import GradientFlow

__all__ = [
    "Direct",
    "GradientFlow",
    "Iterative",
    "LinearSolver",
    "Multigrid",
    "TwoLevel",
    "TwoLevelInFractions",
    "choose",
    "is_large",
    "may_eliminate",
]
