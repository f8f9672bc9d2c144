"""`Template`: a text of the YAML with placeholders for what a request says; no expressions, no conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from meshwright_sdk.headers import encode_name

if TYPE_CHECKING:
    from meshwright_sdk.request import Request
    from meshwright_sdk.routing import Match

Getter = Callable[["Request"], str]

_PLACEHOLDER = re.compile(r"\{\{(?P<escaped>[^{}]*)\}\}|\{(?P<word>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<name>[^{}]+))?\}")

WORDS: dict[str, Getter] = {
    "client": lambda request: request.client.host if request.client else "",
    "host": lambda request: request.host,
    "method": lambda request: request.method,
    "path": lambda request: request.path,
    "query": lambda request: request.query,
    "request_id": lambda request: request.id,
    "route": lambda request: request.route.name if request.route else "",
    "scheme": lambda request: request.scheme,
    "subject": lambda request: request.identity.subject if request.identity else "",
    "url": lambda request: request.url,
}
"""The placeholders of one word. `path` and `query` are percent-encoded, `client` is an IP address."""


def _header(name: str) -> Getter:
    raw = encode_name(name)

    def get(request: Request) -> str:
        value = request.headers.get_bytes(raw)
        return "" if value is None else value.decode("latin-1")

    return get


def _claim(name: str) -> Getter:
    return lambda request: _as_text(request.identity.claims.get(name)) if request.identity else ""


KINDS: dict[str, Callable[[str], Getter]] = {
    "claim": _claim,
    "cookie": lambda name: lambda request: request.cookies.get(name, ""),
    "header": _header,
    "param": lambda name: lambda request: request.path_params.get(name, ""),
    "query": lambda name: lambda request: request.query_params.get(name, ""),
}
"""The placeholders with a name after the colon, such as `{header:x-tenant}`."""


class Template:
    """A text with placeholders such as `{client}`, `{path}`, `{param:id}`, `{header:x-tenant}` or `{claim:sub}`.

    Usable as an option's type. It is compiled once; `constant` is the whole text when nothing in it depends on
    the request, else None. What a request does not have comes out empty. `{{word}}` stands for `{word}`; other
    braces stand for themselves. Raises ValueError for a placeholder that does not exist.
    """

    __slots__ = ("_format", "_getters", "constant", "params", "text")

    bare_params: ClassVar[bool] = False
    """Whether `{id}` may be written for `{param:id}`, as the route's path has it."""

    def __init__(self, text: str | Template) -> None:
        self.text: str = text.text if isinstance(text, Template) else text
        self.params: frozenset[str] = frozenset()
        pieces = list(self._pieces(self.text))
        self._getters = tuple(piece for piece in pieces if not isinstance(piece, str))
        self._format = "".join(piece.replace("%", "%%") if isinstance(piece, str) else "%s" for piece in pieces)
        self.constant: str | None = None if self._getters else "".join(map(str, pieces))

    @property
    def getter(self) -> Getter | None:
        """What looks the text up where it is one placeholder and nothing else; it is quicker than `render`."""
        return self._getters[0] if len(self._getters) == 1 and self._format == "%s" else None

    def render(self, request: Request) -> str:
        """Return the text filled in for `request`, as it stands at this moment; nothing is escaped."""
        if self.constant is not None:
            return self.constant
        return self._format % tuple([get(request) for get in self._getters])

    def check_params(self, match: Match | None) -> None:
        """Raise ValueError for a path parameter that the route does not have; any will do when `match` is None."""
        missing = None if match is None else min(self.params - match.params, default=None)
        if match is not None and missing is not None:
            has = ", ".join(f"{{{name}}}" for name in sorted(match.params)) or "it has none"
            hint = _suggestion(missing, {*WORDS, *match.params} if self.bare_params else match.params)
            raise self._wrong(f"a parameter of the route's path ({has})", missing, hint)

    def _pieces(self, text: str) -> Iterator[str | Getter]:
        """Yield what stands still and what is looked up, in order; a subclass may wrap them."""
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            yield text[end : found.start()]
            end = found.end()
            escaped, word, name = found.group("escaped", "word", "name")
            yield self._getter(word, name) if escaped is None else f"{{{escaped}}}"
        yield text[end:]

    def _getter(self, word: str, name: str | None) -> Getter:
        if name is None and word not in WORDS and self.bare_params:
            word, name = "param", word
        if name is None and word in WORDS:
            return WORDS[word]
        if name is None and word in KINDS:
            raise self._wrong(f"{{{word}:NAME}}", word)
        if name is None:
            hint = _suggestion(word, WORDS) or f" (write {{param:{word}}} for a parameter, {{{{{word}}}}} for the text)"
            raise self._wrong("one of " + ", ".join(f"{{{each}}}" for each in WORDS), word, hint)
        if word not in KINDS:
            kinds = ", ".join(f"{{{kind}:NAME}}" for kind in KINDS)
            raise self._wrong(f"one of {kinds}", f"{word}:{name}", _suggestion(word, KINDS))
        if word == "param":
            self.params |= {name}
        return KINDS[word](name)

    def _wrong(self, wanted: str, inside: str, hint: str = "") -> ValueError:
        return ValueError(f"expected {wanted} in place of {{{inside}}}{hint}; got {self.text!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and (type(other), other.text) == (type(self), self.text)

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the constructor; write it as its text."""

        def make(value: Any) -> Any:
            if not isinstance(value, str | Template):
                raise PydanticKnownError("string_type")
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            make, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe a text."""
        return {"type": "string"}


def _suggestion(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {{{close[0]}}}?)" if close else ""


def _as_text(value: Any) -> str:
    """Return a claim as text: lists are joined by commas, what is neither text nor number is JSON."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(_as_text, value))
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
