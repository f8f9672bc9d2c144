"""`option_rows`: a plugin's options as rows for people to read; where they are shown is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from meshwright.config.fields import allowed_at, describe_number
from meshwright_sdk import Duration, Percent, Rate, Secret, Size, Template
from meshwright_sdk.url_template import UrlTemplate

_WORDS: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    Any: "anything",
    Duration: "duration",
    Percent: "percentage",
    Rate: "rate",
    Secret: "secret text",
    Size: "size",
    Template: "text with placeholders",
    UrlTemplate: "URL with placeholders",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRow:
    """One option; `default` is empty where it may be left out without a default, `required` where it may not."""

    name: str
    type: str
    default: str
    description: str
    example: str


def option_rows(model: type[BaseModel], prefix: str = "") -> Iterator[OptionRow]:
    """Yield the options of a model in its order; those of models in it follow with their path, as `request.set`."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield OptionRow(
            name=f"{prefix}{key}",
            type=(describe_number(allowed_at(model, (key,))) or _type(field.annotation)).removeprefix("a "),
            default="required" if field.is_required() else _default(field),
            description=field.description or "",
            example=_example(field),
        )
        for path, inner in _models(field.annotation):
            yield from option_rows(inner, f"{prefix}{key}{path}.")


def _type(annotation: Any) -> str:
    """Return the words for a type, such as `list of text`."""
    if annotation is JsonValue:
        return "anything"
    if get_origin(annotation) is Annotated or hasattr(annotation, "__value__"):
        return _type(getattr(annotation, "__value__", None) or get_args(annotation)[0])
    if _is_union(annotation):
        return " or ".join(dict.fromkeys(_type(each) for each in get_args(annotation) if each is not NoneType))
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping of {_type(arguments[1])}"
    if origin is not None:
        return f"list of {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _WORDS.get(annotation) or str(getattr(annotation, "__name__", annotation)).lower()


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the models in an annotation, with what stands between the option's name and theirs."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _models(arguments[0])
    elif _is_union(annotation):
        for each in arguments:
            yield from _models(each)
    elif isinstance(origin, type):
        mark = ".NAME" if issubclass(origin, Mapping) else "[]"
        for each in arguments[-1:] if mark == ".NAME" else arguments[:1]:
            yield from ((f"{mark}{path}", model) for path, model in _models(each))


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return "" if default is None or isinstance(default, BaseModel) else _written(default)


def _example(field: FieldInfo) -> str:
    """Return the field's own example, or else one of its type where no default shows how it is written."""
    if field.examples:
        return _written(field.examples[0])
    if not field.is_required() and field.default is not None:
        return ""
    members = get_args(field.annotation) if _is_union(field.annotation) else (field.annotation,)
    found = [each.examples for each in members if isinstance(getattr(each, "examples", None), tuple)]
    return _written(found[0][0]) if found else ""


def _written(value: Any) -> str:
    """Return a value as the YAML would have it on one line."""
    if isinstance(value, Duration | Percent | Size | Rate):
        return str(value)
    if isinstance(value, str):
        return value if value and value.isprintable() and value == value.strip() else json.dumps(value)
    return json.dumps(_plain(value), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """Return values with a unit as the text they are written as, also where they are numbers to Python."""
    if isinstance(value, Duration | Percent | Size):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, list | tuple | set | frozenset) else value
