"""Validated, immutable data: the base of every table of a problem and of every plug-in."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError, did_you_mean


class Record(BaseModel):
    """A frozen table whose keys are its annotated fields.

    Raises InputError, naming the table by `label` (default: the class name), for an unknown key, a missing key or an illegal value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    label: ClassVar[str] = ""

    def __init__(self, **table: Any) -> None:
        try:
            super().__init__(**table)
        except ValidationError as error:
            raise InputError("\n".join(_explain(type(self), dict(e)) for e in error.errors())) from None


def _explain(cls: type[Record], error: dict[str, Any]) -> str:
    """One line for one pydantic error: given, legal, what to do."""
    where = cls.label or cls.__name__
    path = ".".join(str(part) for part in error["loc"] if not _is_union_tag(part))
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"{where} has no parameter '{path}'{did_you_mean(path, cls.model_fields)}"
    if kind == "missing":
        return f"{where} needs '{path}'{_meaning(cls, path)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {path} = {given!r}: {message}" if path else f"{where}: {message}"


def _is_union_tag(part: Any) -> bool:
    """pydantic adds the name of the tried type to the path of a union's error: noise for a user."""
    return isinstance(part, str) and ("[" in part or part in {"int", "float", "str", "bool", "constrained-str"})


def _meaning(cls: type[Record], field: str) -> str:
    info = cls.model_fields.get(field)
    return f": {info.description}" if info and info.description else ""
