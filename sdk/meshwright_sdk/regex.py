"""`Regex`: an option that is a regular expression; what it is matched against goes elsewhere."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field


def _compiling(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"expected a regular expression ({error}); got {text!r}") from error
    return text


Regex = Annotated[str, AfterValidator(_compiling), Field(json_schema_extra={"format": "regex"})]
"""The text of a regular expression of Python's, known to compile."""
