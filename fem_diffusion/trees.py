"""Tables of tables with vectors in them, as JSON and vectors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def split(tree: Mapping[str, Any], path: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The tree without its vectors, and those by their paths, "a/b/c"."""
    rest: dict[str, Any] = {}
    vectors: dict[str, np.ndarray] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            rest[key], below = split(value, f"{path}{key}/")
            vectors |= below
        elif isinstance(value, np.ndarray):
            vectors[f"{path}{key}"] = value
        else:
            rest[key] = value
    return rest, vectors


def joined(rest: Mapping[str, Any], vectors: Mapping[str, np.ndarray], path: str) -> dict[str, Any]:
    """The tree of which these are the parts, its vectors being those with paths that begin with `path`."""
    tree: dict[str, Any] = {
        key: joined(value, vectors, f"{path}/{key}") if isinstance(value, Mapping) else value for key, value in rest.items()
    }
    here = {name.removeprefix(f"{path}/"): vector for name, vector in vectors.items() if name.startswith(f"{path}/")}
    return tree | {name: vector for name, vector in here.items() if "/" not in name}
