"""`problem`: the one mapping from errors to answers (RFC 9457); what is logged about them goes elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from meshwright_sdk.errors import MeshwrightError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

_FIELDS: RawHeaders = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
_NOT_FROM_ERRORS = frozenset({*dict(_FIELDS), b"content-length", b"content-encoding", b"transfer-encoding"})
_OWN_FAULTS = frozenset({"plugin", "configuration", "store"})
# Where RFC 9110 renamed a status later than Python 3.11, and one that only proxies use.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    499: "Client Gone",
}
_KEY = "__meshwright_headers__"


def problem(error: BaseException, request: Request | None = None) -> Response:
    """Return the answer to a request that ended in `error`: its status, code, detail and headers.

    Anything but a MeshwrightError is a 500 with the code `internal`. What plugins, the store and the configuration
    did wrong is told to the log alone: `detail` is left out then, as it is for an unknown exception.
    """
    status = error.status if isinstance(error, MeshwrightError) else 500
    content: dict[str, Any] = {"type": "about:blank", "title": phrase_of(status), "status": status}
    if isinstance(error, MeshwrightError):
        content["code"] = error.code
        if error.detail and error.fault not in _OWN_FAULTS:
            content["detail"] = error.detail
    else:
        content["code"] = MeshwrightError.code
    if request is not None and request.id:
        content["request_id"] = request.id
    response = Response.json(content, status=status)
    response.headers.raw = [*_FIELDS, *(field for field in headers_of(error).raw if field[0] not in _NOT_FROM_ERRORS)]
    return response


def headers_of(error: BaseException) -> Headers:
    """Return the headers that the answer to `error` will carry; whoever the error passes may change them.

    A filter that sets headers on responses sets them here too, and raises the error again:
    `except Exception as error: self.stamp(headers_of(error)); raise`. Content headers are ignored.
    """
    if isinstance(error, MeshwrightError):
        return error.headers
    headers: Headers = error.__dict__.setdefault(_KEY, Headers())
    return headers


def phrase_of(status: int) -> str:
    """Return a status code's own phrase (RFC 9110, section 15), or "Error" for one that has none."""
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"
