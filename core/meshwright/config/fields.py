"""Which types an options model allows at a path, read from its annotations; nothing is validated here."""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from meshwright.config.document import leaves
from meshwright.config.problems import KeyPath
from meshwright_sdk import Secret

_LIKE_TRUTH = frozenset((0, 1, "0", "1", "on", "off", "yes", "no", "y", "n", "t", "f"))
"""What Pydantic reads as true or false; true and false themselves are equal to 1 and 0."""
_LONGEST_FIXED = 16
"""Entries of a list from here on are of the same type: it is no tuple whose entries have a type each."""
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One type that a value may have, with the bounds that are put on it."""

    type: Any
    bounds: tuple[Any, ...] = ()

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        """The type itself when it is a model."""
        return (self.type,) if isinstance(self.type, type) and issubclass(self.type, BaseModel) else ()

    def limit(self, *kinds: type) -> Any:
        """Return the bound of the first of `kinds` (Ge, Gt, Le, Lt) that is set, or None."""
        for kind in kinds:
            for bound in self.bounds:
                found = getattr(bound, kind.__name__.lower(), None)
                if isinstance(bound, kind | Interval) and found is not None:
                    return found
        return None


def allowed_at(model: type[BaseModel], path: KeyPath) -> list[Allowed]:
    """Return the types allowed at `path` below the model; a union gives several, what is not known none.

    Parts of the path that fit nowhere are skipped: Pydantic puts names of union members between the keys.
    """
    allowed = [Allowed(model)]
    for part in path:
        allowed = list(_below(allowed, part)) or allowed
    return allowed


def keys_of(allowed: Iterable[Allowed]) -> list[str]:
    """Return the keys that the models among the types have, as they are written in YAML."""
    return list(dict.fromkeys(key for one in allowed for model in one.models for key in _fields(model)))


def misread(model: type[BaseModel], data: Any) -> Iterator[ErrorDetails]:
    """Yield an error for what Pydantic would read as another thing: true as the number 1, `on` and 1 as true.

    The texts `true` and `false` are left alone: a reference in quotes gives one.
    """
    known: dict[KeyPath, set[Any]] = {}
    for path, value in leaves(data):
        if value not in _LIKE_TRUTH and not (isinstance(value, str) and value.lower() in _LIKE_TRUTH):
            continue
        place = tuple(min(part, _LONGEST_FIXED) if isinstance(part, int) else part for part in path)
        types = known[place] if place in known else known.setdefault(place, _types_at(model, place))
        kind = _number_type(types) if isinstance(value, bool) else "bool_type" if _is_truth(types) else None
        if kind is not None:
            yield {"type": kind, "loc": path, "msg": "another type is needed", "input": value}


def _types_at(model: type[BaseModel], path: KeyPath) -> set[Any]:
    """Return the types allowed at `path`, none where a part of it fits nowhere."""
    allowed = [Allowed(model)]
    for part in path:
        allowed = list(_below(allowed, part))
    return {one.type for one in allowed}


def _number_type(types: set[Any]) -> str | None:
    """Return which error a truth value is where only numbers are allowed."""
    if not types or not types <= {int, float, type(None)}:
        return None
    return "int_type" if int in types else "float_type"


def _is_truth(types: set[Any]) -> bool:
    """Return whether a truth value is allowed, and no text or number beside it."""
    return bool in types and all(one in (bool, type(None)) or _holds_others(one) for one in types)


def _holds_others(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return bool(Allowed(annotation).models) or origin in _MAPPINGS or _is_list(origin)


def is_secret(model: type[BaseModel], path: KeyPath) -> bool:
    """Return whether the value at `path` may be a secret, also one that stands where a list of them should."""
    return any(_speaks_of_secrets(one.type) for one in allowed_at(model, path))


def _speaks_of_secrets(annotation: Any) -> bool:
    return annotation is Secret or any(map(_speaks_of_secrets, get_args(annotation)))


def _below(allowed: Iterable[Allowed], part: str | int) -> Iterator[Allowed]:
    for one in allowed:
        for model in one.models:
            field = _fields(model).get(str(part))
            if field is not None:
                yield from _members(field.annotation, tuple(field.metadata))
        origin, arguments = get_origin(one.type), get_args(one.type)
        if origin in _MAPPINGS and isinstance(part, str) and len(arguments) == 2:
            yield from _members(arguments[1])
        elif _is_list(origin) and isinstance(part, int) and arguments:
            fixed = origin is tuple and arguments[-1] is not ...
            yield from _members(arguments[part if fixed and part < len(arguments) else 0])


def _members(annotation: Any, bounds: tuple[Any, ...] = ()) -> Iterator[Allowed]:
    """Yield the members of a union, and what a name or an annotation stands for."""
    if hasattr(annotation, "__value__"):  # an alias made by `type X = ...`
        yield from _members(annotation.__value__, bounds)
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from _members(inner, (*bounds, *_flat(metadata)))
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member, bounds)
    else:
        yield Allowed(annotation, bounds)


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _is_list(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, collections.abc.Collection) and origin not in _MAPPINGS


def describe_number(allowed: Iterable[Allowed]) -> str | None:
    """Return what number is allowed, such as `a whole number, 1 or more`; None when there is no one answer."""
    numbers = [one for one in allowed if one.type in (int, float)]
    if len(numbers) != 1:
        return None
    number = numbers[0]
    whole = number.type is int
    noun = "a whole number" if whole else "a number"
    if whole:
        number = replace(number, bounds=(*number.bounds, *_inclusive(number)))
    low, high = number.limit(Ge), number.limit(Le)
    above, below = (None, None) if whole else (number.limit(Gt), number.limit(Lt))
    if low is not None and high is not None:
        return f"{noun} from {low} to {high}"
    limits = [
        f"{low} or more" if low is not None else f"above {above}" if above is not None else "",
        f"{high} or less" if high is not None else f"below {below}" if below is not None else "",
    ]
    return ", ".join(filter(None, [noun, " and ".join(filter(None, limits))]))


def _inclusive(number: Allowed) -> Iterator[Any]:
    """Yield bounds of a whole number that include their end."""
    above, below = number.limit(Gt), number.limit(Lt)
    if above is not None:
        yield Ge(above + 1)
    if below is not None:
        yield Le(below - 1)


def choices(allowed: Iterable[Allowed]) -> list[str]:
    """Return the texts that a value may be one of, where only a fixed few are allowed."""
    return [str(value) for one in allowed if get_origin(one.type) is Literal for value in get_args(one.type)]
