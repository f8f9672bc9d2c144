"""`ServiceName`: an option that names a service of the configuration; calling it goes elsewhere."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class ServiceName(str):
    """The name of a service, which the check of the YAML looks for among `services`.

    Use it for whatever is given to `Context.call`, so that a slip is found before a request is lost by it.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate a text."""
        text = core_schema.str_schema(min_length=1)
        return core_schema.no_info_after_validator_function(cls, text)
