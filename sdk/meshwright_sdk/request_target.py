"""`RequestTarget`: what a request of a plugin's own asks for, as an option; matching clients' paths goes elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from meshwright_sdk.body import Body
from meshwright_sdk.headers import Headers
from meshwright_sdk.request import Request


def _target(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError(f"expected a path such as /healthz?full=1; got {text!r:.100}")
    return text


RequestTarget = Annotated[str, AfterValidator(_target)]
"""A path with or without a query, percent-encoded where it has to be, such as `/healthz?full=1`."""


def request_for(target: str, headers: Headers, *, method: str = "GET") -> Request:
    """Return a request without content for a `RequestTarget`; it has the Host that `headers` say, or none."""
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, Body())
