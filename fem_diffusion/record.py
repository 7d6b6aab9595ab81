"""Validated, immutable data: the base of every table of a problem and of every plug-in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from .errors import InputError, did_you_mean


class Record(BaseModel):
    """A frozen table whose keys are its annotated fields.

    Raises InputError, naming the table by `label` (default: the class name), for an unknown key, a missing key or an illegal value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    label: ClassVar[str] = ""

    def __init__(self, **table: Any) -> None:
        try:
            super().__init__(**table)
        except ValidationError as error:
            raise InputError("\n".join(_explain(type(self), dict(e)) for e in _relevant([dict(e) for e in error.errors()]))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_no_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        """pydantic would take true for 1, and "yes" for true."""
        types = set(_types(cls.model_fields[str(info.field_name)].annotation))
        if types == {bool} and not isinstance(given, bool):
            raise ValueError("must be true or false, without quotes")
        if types & {int, float} and bool not in types and any(isinstance(value, bool) for value in _scalars(given)):
            raise ValueError("must be a number, not true or false")
        return given


def keys(cls: type[Record]) -> dict[str, str]:
    """The names of the fields by the keys under which a table has them."""
    return {info.alias or name: name for name, info in cls.model_fields.items()}


def _types(annotation: Any) -> Iterator[type]:
    """The types that an annotation is made of."""
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type):
        yield annotation
    for part in parts:
        yield from _types(part)


def _scalars(given: Any) -> Iterator[Any]:
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _scalars(item)
    else:
        yield given


def _relevant(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One error for each mistake.

    A union reports each of its types: the error that lies deepest is that of the type that was meant, or else the first. A mistyped key is
    often one that is missing too.
    """
    keys = [_keys(error) for error in errors]
    mistyped = any(error["type"] == "extra_forbidden" for error in errors)
    found: list[dict[str, Any]] = []
    for i, (key, error) in enumerate(zip(keys, errors, strict=True)):
        deeper = any(other != key and other[: len(key)] == key for other in keys if key)
        if not deeper and key not in keys[:i] and not (mistyped and error["type"] == "missing"):
            found.append(error)
    return found


def _keys(error: dict[str, Any]) -> tuple[str, ...]:
    """Where an error lies. Positions in a list say less than the value, which is shown; where one value stands for a list they mislead."""
    return tuple(part for part in error["loc"] if isinstance(part, str) and not _is_union_tag(part))


_WORDS = {
    "dict_type": "must be a table, as in { name = value }",
    "model_type": "must be a table",
    "string_type": "must be text, in quotes",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
}


def _explain(cls: type[Record], error: dict[str, Any]) -> str:
    """One line for one pydantic error: given, legal, what to do."""
    where = cls.label or cls.__name__
    path = ".".join(_keys(error))
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"{where} has no parameter '{path}'{did_you_mean(path, keys(cls))}"
    if kind == "missing":
        return f"{where} needs '{path}'{_meaning(cls, path)}"
    if kind in ("tuple_type", "too_short"):
        message = f"must be a list{_meaning(cls, path)}"
    else:
        message = _WORDS.get(kind) or str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{where}: {path} = {_toml(given)}: {message}" if path else f"{where}: {message}"


def _toml(given: Any) -> str:
    """A value about as it stands in the file."""
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(map(_toml, given))}]"
    return str(given).lower() if isinstance(given, bool) else repr(given)


def _is_union_tag(part: Any) -> bool:
    """pydantic adds the name of the tried type to the path of a union's error: noise for a user."""
    return isinstance(part, str) and ("[" in part or part in {"int", "float", "str", "bool", "constrained-str"})


def _meaning(cls: type[Record], field: str) -> str:
    info = cls.model_fields.get(keys(cls).get(field, field))
    return f": {info.description}" if info and info.description else ""
