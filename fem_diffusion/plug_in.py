"""Energies and mobilities by their `kind`: the package's own, or a class in a module beside the problem."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError, did_you_mean
from .record import Record

SURFACES = ("WallEnergy", "SurfaceCharge", "SternLayer")
"""Terms that follow from a boundary's table, and are no kind of their own."""


def kind_of(item: Record) -> str:
    cls = type(item)
    if cls.__module__.startswith(f"{__package__}."):
        return cls.__name__
    return f"{script() if cls.__module__ == '__main__' else cls.__module__}.{cls.__name__}"


def script() -> str:
    """The name under which the running script can be imported."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return re.sub(r"\W|^(?=\d)", "_", Path(file).stem) if file is not None else "__main__"


def plug_in(item: Any, base: type[Record], table: str, directory: Path) -> Record:
    """The object that a table with `kind` describes; an object passes."""
    if isinstance(item, base):
        return item
    if not isinstance(item, Mapping):
        raise InputError(f"{table} must be a table with a kind, not {item!r}")
    parameters = dict(item)
    kind = parameters.pop("kind", None)
    builtin = {
        cls.__name__: cls
        for cls in _subclasses(base)
        if cls.__module__.startswith(f"{__package__}.") and cls.__name__ not in SURFACES and not inspect.isabstract(cls)
    }
    if kind is None:
        raise InputError(f"{table} needs a kind; legal: {', '.join(sorted(builtin))}, or a class of your own as my_module.MyClass")
    if not isinstance(kind, str):
        raise InputError(f"{table} kind = {kind!r} must be text")
    own = "." in kind and all(part.isidentifier() for part in kind.split("."))
    cls = _user_class(kind, base, table, directory) if own else builtin.get(kind)
    if cls is None:
        raise InputError(f"{table} has no kind '{kind}'{did_you_mean(kind, builtin)} (a class of your own: my_module.MyClass)")
    return cls(**parameters)


def _subclasses(base: type[Record]) -> set[type[Record]]:
    return {cls for child in base.__subclasses__() for cls in {child, *_subclasses(child)}}


def _user_class(kind: str, base: type[Record], table: str, directory: Path) -> type[Record]:
    module, _, name = kind.rpartition(".")
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a user's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name in (module, module.partition(".")[0]):
            reason = f"there is no module '{module}'; it is looked for beside the problem file, in {directory}"
        else:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            at = f" at {frame.filename}, line {frame.lineno}" if not isinstance(error, SyntaxError) else ""
            reason = f"the module cannot be imported: {type(error).__name__}: {error}{at}"
        raise InputError(f"{table} kind = '{kind}': {reason}") from None
    cls = getattr(imported, name, None)
    if cls is None:
        classes = [
            key for key, value in vars(imported).items() if isinstance(value, type) and issubclass(value, base) and value is not base
        ]
        raise InputError(f"{table} kind = '{kind}': module {module} has no class '{name}'{did_you_mean(name, classes)}")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise InputError(f"{table} kind = '{kind}': {name} must be a subclass of fem_diffusion.{base.__name__}")
    if inspect.isabstract(cls):
        raise InputError(f"{table} kind = '{kind}': {name} must define {', '.join(sorted(cls.__abstractmethods__))}")
    return cls


def entries(given: Any, table: str) -> list[Any]:
    if isinstance(given, (list, tuple)):
        return list(given)
    raise InputError(f"{table} must be written with double brackets: each is one entry of a list")
