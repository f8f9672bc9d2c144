"""Composing filters into one callable, once for each route and snapshot; what a filter does goes elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Sequence

from meshwright_sdk.filters import CallNext, FilterCall
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


def compose(filters: Sequence[FilterCall], innermost: CallNext) -> CallNext:
    """Return the onion: the first filter is the outermost. Calling it looks nothing up."""
    call = innermost
    for each in reversed(filters):
        # An instance is called through its bound method, which spares the look-up of __call__ on its class.
        call = _layer(each if inspect.isroutine(each) else each.__call__, call)
    return call


def _layer(function: FilterCall, call_next: CallNext) -> CallNext:
    def call(request: Request) -> Awaitable[Response]:
        return function(request, call_next)

    return call
