"""The domain: boxes, gmsh and meshio files, periodic or not, with named boundaries and regions.

A periodic mesh is periodic in its topology: opposite sides share their vertices, so every function on it is periodic, whatever the
finite element, and nothing else of the package knows about it. Its cells keep coordinates of their own, because a cell at the upper
end has a vertex that another cell has at the lower end.
"""

from .build import build
from .geometry import Geometry, obtuse, statistics
from .source import Mesh

__all__ = ["Geometry", "Mesh", "build", "obtuse", "statistics"]
