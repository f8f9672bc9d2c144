"""`Guard`: who may use the admin API; what it answers goes elsewhere."""

from __future__ import annotations

import re
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from meshwright.admin.problems import ProblemResponse, problem_response
from meshwright.config.bind import Bind
from meshwright_sdk import Secret

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""What orchestrators probe without credentials; it tells nothing but one word."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@\[\]:\\]+)(:[0-9]*)?")
"""A name and a port; what else an authority may have, such as a user, is no part of a Host header."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Lets a request through that carries the token, or comes from this machine where there is none.

    Without a token a browser on this machine must not become the way in: a page elsewhere can point its own
    name at 127.0.0.1, so the Host must be a name of this machine; and a page can send a form anywhere, so
    what changes something must not come from a page of another origin.
    """

    def __init__(self, app: ASGIApp, bind: Bind, token: Secret | None) -> None:
        self._app = app
        self._token = token.reveal().encode() if token else None
        self._hosts = None if bind.path else frozenset({*_LOOPBACK, bind.host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a problem, or let the application answer."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ProblemResponse | None:
        if scope["path"] in OPEN_PATHS:
            return None
        headers = Headers(scope=scope)
        if scope.get("method") not in _READING and not _same_origin(headers):
            return problem_response(403, "cross_origin", "a page of another origin may change nothing here")
        return self._refuse_stranger(headers) if self._token is None else self._refuse_token(headers, self._token)

    def _refuse_stranger(self, headers: Headers) -> ProblemResponse | None:
        if self._hosts is None or _host_name(_authority(headers)) in self._hosts:
            return None
        return problem_response(403, "host_not_allowed", "Host: expected a name of this machine, such as localhost")

    @staticmethod
    def _refuse_token(headers: Headers, token: bytes) -> ProblemResponse | None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and compare_digest(given.strip().encode("latin-1"), token):
            return None
        detail = "Authorization: expected Bearer and the token of the configuration's admin.token"
        return problem_response(401, "token_required", detail, headers={"www-authenticate": "Bearer"})


def _same_origin(headers: Headers) -> bool:
    """Return whether no page is behind the request, or one that the admin API served itself."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    try:
        return urlsplit(origin).netloc.lower() == _authority(headers).lower() != ""
    except ValueError:
        return False


def _authority(headers: Headers) -> str:
    """Return the Host header; empty when there are several, for then nobody knows which one counts."""
    hosts = headers.getlist("host")
    return hosts[0] if len(hosts) == 1 else ""


def _host_name(authority: str) -> str:
    """Return the name in a Host header, without port and brackets; empty for what is none."""
    if _HOST.fullmatch(authority) is None:
        return ""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""
