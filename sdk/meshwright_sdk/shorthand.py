"""Short forms of values in YAML: one in place of a list of one, a text in place of a mapping; no model goes in here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class _Shorthand(ABC):
    """Annotates a type whose value may be written as just a text."""

    __slots__ = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    @abstractmethod
    def _expand(self, value: Any) -> Any:
        """Return the long form; raises ValueError for what is neither."""


@dataclass(frozen=True, slots=True)
class OneOrMany(_Shorthand):
    """Annotates a tuple that may be written as a list, or as its one item when that is a text.

    `noun` says what the item is. Anything else is refused in one sentence.
    """

    noun: str

    def _expand(self, value: Any) -> Any:
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list | tuple):
            return value
        raise ValueError(f"expected {self.noun}, or a list of such; got {value!r}")


@dataclass(frozen=True, slots=True)
class TextFor(_Shorthand):
    """Annotates a model that may be written as a text, which is then the value of `key` alone."""

    key: str
    noun: str

    def _expand(self, value: Any) -> Any:
        if isinstance(value, str):
            return {self.key: value}
        if isinstance(value, dict) or hasattr(value, "model_fields_set"):
            return value
        raise ValueError(f"expected {self.noun}, or a mapping with the key {self.key}; got {value!r}")
