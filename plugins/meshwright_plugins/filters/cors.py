"""`cors`: which web pages of other origins may use a route (the Fetch standard, section 3.2). No authentication."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from meshwright_sdk import (
    CallNext,
    Context,
    Duration,
    Filter,
    Headers,
    Options,
    Regex,
    Request,
    Response,
    add_member,
    headers_of,
)
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.tokens import TOKEN

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<wild>\*\.)?(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}|\*))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LABELS = r"(?:[a-z0-9_-]+\.)+"
_ANSWERS = frozenset(
    {
        *(b"access-control-allow-origin", b"access-control-allow-credentials", b"access-control-expose-headers"),
        *(b"access-control-allow-methods", b"access-control-allow-headers", b"access-control-max-age"),
    }
)


def _origin(text: str) -> str:
    """Return an origin as browsers serialise it (RFC 6454, section 6.2)."""
    if text in ("*", "null"):
        return text
    parts = _ORIGIN.fullmatch(text.lower())
    if parts is None:
        raise ValueError(
            "expected an origin such as https://shop.example.com, https://*.example.com, http://localhost:* or *, "
            f"without a path or a slash at the end; got {text!r}"
        )
    port = parts["port"]
    return text.lower() if port != _DEFAULT_PORTS.get(parts["scheme"]) else text.lower().removesuffix(f":{port}")


def _token(text: str) -> str:
    if TOKEN.fullmatch(text) is None:
        raise ValueError(f"expected a method or header name, or *; got {text!r}")
    return text


Token = Annotated[str, AfterValidator(_token)]


class CorsOptions(Options):
    """Who may do what."""

    allow_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(
        [],
        description="Origins that may: exact, with *. for any name below a domain, with :* for any port, "
        "or just * for every page there is.",
    )
    allow_origin_regex: list[Regex] = Field(
        [], description="Regular expressions that must match a whole origin, such as https://pr-[0-9]+[.]example[.]com."
    )
    allow_methods: list[Token] = Field(
        ["GET", "HEAD", "POST"], description="Methods that pages may use; * is any.", min_length=1
    )
    allow_headers: list[Token] = Field(
        [], description="Headers that pages may send beyond the safe ones; * is any, authorization included."
    )
    expose_headers: list[Token] = Field(
        [], description="Headers of the response that pages may read beyond the safe ones; * is any."
    )
    allow_credentials: bool = Field(
        False, description="Let pages send cookies and other credentials; every origin must be named for that."
    )
    max_age: Duration = Field(
        Duration("10m"), description="How long a browser may remember the answer to its question, in whole seconds."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.allow_origins and not self.allow_origin_regex:
            raise ValueError("expected allow_origins or allow_origin_regex; got neither")
        if self.allow_credentials and "*" in self.allow_origins:
            raise ValueError("expected named origins with allow_credentials; got '*', which would let any page act")
        if self.allow_credentials and "*" in self.expose_headers:
            raise ValueError(
                "expected named expose_headers with allow_credentials; got '*', which browsers ignore then"
            )
        return self


class Cors(Filter[CorsOptions]):
    """Let web pages of other origins use the route, by the rules of the Fetch standard.

    A browser's question (a preflight: `OPTIONS` with `origin` and `access-control-request-method`) is answered here
    with 204 and never reaches the upstream. Other responses, errors included, get the headers that let the page read
    them. An origin that is not allowed gets none of them, so its browser refuses; the request itself passes, since
    this protects the browser's user and is no access control. What the upstream says about CORS is replaced.

    A preflight must match the route to get here: where the route names its methods, name OPTIONS too.

    Example:
        filters:
          - cors:
              allow_origins: ["https://shop.example.com", "https://*.example.org"]
              allow_methods: [GET, POST, DELETE]
              allow_headers: [authorization, content-type]
              allow_credentials: true
    """

    def __init__(self, options: CorsOptions, context: Context) -> None:
        super().__init__(options, context)
        self._any = "*" in options.allow_origins
        self._exact = frozenset(origin.encode("ascii") for origin in options.allow_origins)
        wild = [_as_regex(parts) for parts in map(_ORIGIN.fullmatch, options.allow_origins) if parts]
        self._patterns = tuple(map(re.compile, [*wild, *options.allow_origin_regex]))
        self._fields = _credentials(options) + _listed(b"access-control-expose-headers", options.expose_headers)
        self._preflight = _credentials(options) + _preflight(options)
        self._any_method = "*" in options.allow_methods
        self._any_header = "*" in options.allow_headers

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        origin = request.headers.get_bytes(b"origin")
        if request.method == "OPTIONS" and origin is not None:
            method = request.headers.get_bytes(b"access-control-request-method")
            if method is not None:
                return self._answer(origin, method, request)
        try:
            response = await call_next(request)
        except Exception as error:
            self._dress(headers_of(error), origin)
            raise
        self._dress(response.headers, origin)
        return response

    def _dress(self, headers: Headers, origin: bytes | None) -> None:
        """Replace what is said about CORS; caches are told that it depends on the origin."""
        raw = headers.raw
        raw[:] = [field for field in raw if field[0] not in _ANSWERS]
        if not self._any:
            add_member(headers, b"vary", b"origin")
        if origin is not None and self._allows(origin):
            raw.append((b"access-control-allow-origin", b"*" if self._any else origin))
            raw += self._fields

    def _answer(self, origin: bytes, method: bytes, request: Request) -> Response:
        """Return the answer to a preflight; a star is written out, because with credentials it means nothing."""
        response = Response(204)
        raw = response.headers.raw
        asked = request.headers.get_bytes(b"access-control-request-headers")
        if self._allows(origin):
            raw.append((b"access-control-allow-origin", b"*" if self._any else origin))
            raw += self._preflight
            if self._any_method:
                raw.append((b"access-control-allow-methods", method))
            if self._any_header and asked:
                raw.append((b"access-control-allow-headers", asked))
        raw.append((b"vary", b"origin, access-control-request-method, access-control-request-headers"))
        return response

    def _allows(self, origin: bytes) -> bool:
        if self._any or origin in self._exact:
            return True
        text = origin.decode("latin-1")
        return any(pattern.fullmatch(text) for pattern in self._patterns)


def _as_regex(origin: re.Match[str]) -> str:
    port = origin["port"]
    tail = "(?::[0-9]{1,5})?" if port == "*" else f":{port}" if port else ""
    return re.escape(f"{origin['scheme']}://") + (_LABELS if origin["wild"] else "") + re.escape(origin["host"]) + tail


def _credentials(options: CorsOptions) -> RawHeaders:
    return [(b"access-control-allow-credentials", b"true")] if options.allow_credentials else []


def _listed(name: bytes, members: Sequence[str]) -> RawHeaders:
    return [(name, ", ".join(members).encode("ascii"))] if members else []


def _preflight(options: CorsOptions) -> RawHeaders:
    methods = [] if "*" in options.allow_methods else options.allow_methods
    names = [] if "*" in options.allow_headers else options.allow_headers
    return [
        *_listed(b"access-control-allow-methods", methods),
        *_listed(b"access-control-allow-headers", names),
        (b"access-control-max-age", b"%d" % int(options.max_age)),
    ]
