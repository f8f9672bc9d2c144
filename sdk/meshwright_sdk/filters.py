"""`Filter`, `CallNext` and `@filter`: the onion that decides about a request; no built-in filter goes in here."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar, overload

from meshwright_sdk.plugin import O_co, Plugin
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

CallNext = Callable[[Request], Awaitable[Response]]
"""The rest of the chain, the service included.

It returns when the head of the response is there, with the body still flowing. It raises MeshwrightError
when no response could be had. It may be called again after a failure unless the request's body is `spent`, as a
stream is that an earlier call has taken; it need not be called at all.
"""


class FilterCall(Protocol):
    """The shape of every filter: a request and the rest of the chain in, a response out."""

    def __call__(self, request: Request, call_next: CallNext, /) -> Awaitable[Response]:
        """Answer, or ask the rest of the chain to."""


class Filter(Plugin[O_co]):
    """A filter with options or state, built once for each use in the YAML.

    One instance serves every request of its route at the same time, so what it keeps on `self` is shared;
    what belongs to one request goes into local variables or `request.state`.

    `goes_inside` names filters that make little sense inside of this one, each with the reason in one sentence;
    `meshwright check` warns of such an order.
    """

    goes_inside: ClassVar[Mapping[str, str]] = {}

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        """Answer without calling on, change the request, change the response, or call again."""
        return await call_next(request)


MARK = "__meshwright_filter__"

FilterFunction = TypeVar("FilterFunction", bound=Callable[[Request, CallNext], Awaitable[Response]])


@overload
def filter(function: FilterFunction, /) -> FilterFunction: ...
@overload
def filter(*, name: str) -> Callable[[FilterFunction], FilterFunction]: ...


def filter(function: Any = None, /, *, name: str | None = None) -> Any:
    """Make an async function usable as a filter without options; its name in the YAML is the function's.

    The function itself is returned, so a test calls it as it stands. Raises TypeError when it is not
    `async def` or does not take a request and call_next.
    """
    if function is None:
        return lambda decorated: _mark(decorated, name)
    return _mark(function, name)


def _mark(function: Any, name: str | None) -> Any:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"@filter: expected an `async def` function; got {function!r}")
    parameters = list(inspect.signature(function).parameters.values())
    if len([each for each in parameters if each.kind is not each.KEYWORD_ONLY]) != 2:
        raise TypeError(f"@filter: expected {function.__name__}(request, call_next); got {_signature(function)}")
    setattr(function, MARK, name or function.__name__)
    return function


def _signature(function: Any) -> str:
    return f"{function.__name__}{inspect.signature(function)}"
