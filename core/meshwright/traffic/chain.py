"""Composing filters into one callable, once for each route and snapshot; what a filter does goes elsewhere."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import Any

from meshwright.plugin_host.frames import place_of
from meshwright_sdk.errors import PluginError
from meshwright_sdk.filters import CallNext, FilterCall
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


def compose(filters: Sequence[FilterCall], innermost: CallNext) -> CallNext:
    """Return the onion: the first filter is the outermost. Calling it looks nothing up.

    One that can end without a `return` is watched, for what it then returns to the filter around it would be blamed
    on that one. Whether it can is read from its code, so that the others cost nothing.
    """
    call = innermost
    for each in reversed(filters):
        # An instance is called through its bound method, which spares the look-up of __call__ on its class.
        function = each if inspect.isroutine(each) else each.__call__
        call = (_watched if _may_return_nothing(function) else _layer)(function, call)
    return call


def _layer(function: FilterCall, call_next: CallNext) -> CallNext:
    def call(request: Request) -> Awaitable[Response]:
        return function(request, call_next)

    return call


def _watched(function: FilterCall, call_next: CallNext) -> CallNext:
    async def call(request: Request) -> Response:
        response: Response | None = await function(request, call_next)
        if response is None:
            name = getattr(function, "__qualname__", "").removesuffix(".__call__")
            raise PluginError(f"filter {name}: expected it to return a Response; got None{place_of(function)}")
        return response

    return call


def _may_return_nothing(function: Any) -> bool:
    """Return whether the function, or one that it is wrapped around, may; what is not written in Python may."""
    while function is not None:
        if _ends_without_value(getattr(function, "__code__", None)):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


@lru_cache(maxsize=256)
def _ends_without_value(code: CodeType | None) -> bool:
    """Return whether there is a `return` without a value, as the compiler puts at every end that can be reached."""
    if code is None:
        return True
    steps = [(step.opname, step.argval) for step in dis.get_instructions(code)]
    returning = (("LOAD_CONST", None), ("RETURN_VALUE", None))
    return ("RETURN_CONST", None) in steps or returning in pairwise(steps)
