"""`ImportPath`: an option that names something in a Python module; what is done with it goes elsewhere."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator


def _reference(text: str) -> str:
    module, _, name = text.partition(":")
    if not module or not name:
        raise ValueError(f"expected a reference such as package.module:name; got {text!r}")
    return text


ImportPath = Annotated[str, AfterValidator(_reference)]
"""A reference such as `package.module:name`, with the name's own dots after the colon."""


def imported(reference: str) -> Any:
    """Return what an import path names; raises ValueError with what was expected and what came."""
    module, _, name = reference.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ValueError(f"expected {reference} to import; got {type(error).__name__}: {error}") from error
    return found
