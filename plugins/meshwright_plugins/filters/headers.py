"""`headers`: set, add and remove header fields, on the way in and on the way out. No conditions go in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field

from meshwright_sdk import (
    CallNext,
    Context,
    Filter,
    HeaderName,
    Headers,
    Options,
    Request,
    Response,
    Template,
    headers_of,
)
from meshwright_sdk.fields import CONNECTION_FIELDS, DistinctNames, settable_name
from meshwright_sdk.headers import encode_value

_VISIBLE = "".join(map(chr, range(0x20, 0x7F)))
_INVISIBLE = re.compile(r"[^ -~]")


def _value(template: Template) -> Template:
    if template.constant is not None:
        encode_value(template.constant)
    return template


def _not_host(name: str) -> str:
    if name == "host":
        raise ValueError(
            "expected a header other than 'host'; use the filter rewrite, which changes the host as a whole"
        )
    return name


def _removable(name: str) -> str:
    """Return a name, or a beginning of names with a star behind it, in lower case."""
    beginning = name.lower().removesuffix("*")
    if beginning == name.lower():
        return settable_name(name)
    kept = next((each for each in sorted(CONNECTION_FIELDS | {"host"}) if each.startswith(beginning)), None)
    if kept is not None:
        raise ValueError(
            f"expected a name, or a beginning of names such as x-internal-* but not of {kept}; got {name!r}"
        )
    return settable_name(beginning) + "*"


Value = Annotated[Template, AfterValidator(_value)]
Name = Annotated[HeaderName, AfterValidator(_not_host)]
Pattern = Annotated[str, AfterValidator(_removable), AfterValidator(_not_host)]


class Edits(Options):
    """What is done to one message: `remove` first, then `set`, then `add`."""

    set: Annotated[dict[Name, Value], DistinctNames] = Field(
        {}, description="Headers that get this one value, in place of any they have."
    )
    add: Annotated[dict[Name, Value | list[Value]], DistinctNames] = Field(
        {}, description="Headers that get this value, or each of these, besides what they have."
    )
    remove: list[Pattern] = Field([], description="Headers to take away; a star at the end takes all that start so.")


class HeadersOptions(Options):
    """The edits of requests and of responses."""

    request: Edits = Field(Edits(), description="What is done to the request before it goes on.")
    response: Edits = Field(Edits(), description="What is done to the response, error responses included.")


class EditHeaders(Filter[HeadersOptions]):
    """Set, add and remove headers of the request and of the response.

    On each side `remove` comes first, then `set`, then `add`. Values may hold placeholders, such as `{client}`,
    `{host}`, `{path}`, `{route}`, `{request_id}`, `{subject}`, `{param:id}`, `{header:x-tenant}`, `{query:page}`,
    `{cookie:seen}` or `{claim:sub}`; they show the request as it stands when the filter runs. Characters of theirs
    that no header can carry are percent-encoded, and a value with placeholders that comes out empty leaves the
    header away. Headers of the connection (`content-length`, `transfer-encoding`, `connection` and so on) are the
    gateway's own and are refused.

    Example:
        filters:
          - headers:
              request:
                set: {x-user: "{claim:sub}", x-client: "{client}"}
                remove: ["x-internal-*"]
              response:
                set: {strict-transport-security: max-age=31536000}
                remove: [server]
    """

    name: ClassVar[str] = "headers"

    def __init__(self, options: HeadersOptions, context: Context) -> None:
        super().__init__(options, context)
        for edits in (options.request, options.response):
            for _, template in _pairs(edits):
                template.check_params(context.match)
        self._request = _Editor(options.request)
        self._response = _Editor(options.response)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self._request.apply(request.headers, request)
        try:
            response = await call_next(request)
        except Exception as error:
            self._response.apply(headers_of(error), request)
            raise
        self._response.apply(response.headers, request)
        return response


class _Editor:
    """The edits of one side, made ready: one pass over the fields, then what is set and added behind them."""

    __slots__ = ("_constant", "_dropped", "_prefixes", "_rendered")

    def __init__(self, edits: Edits) -> None:
        exact = [name for name in edits.remove if not name.endswith("*")]
        self._dropped = frozenset(name.encode("ascii") for name in (*exact, *edits.set))
        self._prefixes = tuple(name[:-1].encode("ascii") for name in edits.remove if name.endswith("*"))
        pairs = [(name.encode("ascii"), template) for name, template in _pairs(edits)]
        constants = [(name, encode_value(each.constant)) for name, each in pairs if each.constant is not None]
        self._constant = constants if len(constants) == len(pairs) else []
        self._rendered = [] if self._constant else pairs

    def apply(self, headers: Headers, request: Request) -> None:
        """Change `headers` in place."""
        raw = headers.raw
        if self._dropped:
            dropped = self._dropped
            raw[:] = [field for field in raw if field[0] not in dropped]
        if self._prefixes:
            prefixes = self._prefixes
            raw[:] = [field for field in raw if not field[0].startswith(prefixes)]
        raw += self._constant
        for name, template in self._rendered:
            value = _clean(template.render(request))
            if value or template.constant is not None:
                raw.append((name, value))


def _pairs(edits: Edits) -> list[tuple[str, Template]]:
    """Return what is set, then what is added, one pair for each field."""
    added: Mapping[str, Template | list[Template]] = edits.add
    pairs = list(edits.set.items())
    for name, values in added.items():
        pairs += [(name, value) for value in ([values] if isinstance(values, Template) else values)]
    return pairs


def _clean(value: str) -> bytes:
    """Return `value` as visible ASCII, so that nothing a client sends can end the header or be misread."""
    if _INVISIBLE.search(value) is not None:
        value = quote(value, safe=_VISIBLE, errors="replace")
    return value.strip().encode("ascii")
