"""`request_id`: a name for each request, the same in logs, upstream and answer. No tracing goes in here."""

from __future__ import annotations

import os
import re

from pydantic import Field

from meshwright_sdk import CallNext, Context, Filter, HeaderName, Options, Request, Response, headers_of

_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
_BATCH = 256


class RequestIdOptions(Options):
    """Where the id comes from and where it is shown."""

    header: HeaderName = Field("x-request-id", description="The header that carries the id, on requests and responses.")
    trust: bool = Field(
        False,
        description="Keep the id that the client sent, if it is 1 to 128 letters, digits or any of ._~:/+=@-. "
        "Only for clients that are proxies of your own.",
    )
    response: bool = Field(True, description="Send the id back in the response, error responses included.")


class RequestId(Filter[RequestIdOptions]):
    """Give each request an id: for the logs, for the upstream, for the client and in error documents.

    The id is 128 random bits in 32 hex digits, unique across workers and nodes. What the client sent under the
    same name is replaced, unless `trust` is on and it is well formed. A request that has an id already, from the
    same filter further out, keeps it. Put it first, so that whatever refuses a request later can name it.

    Example:
        filters:
          - request_id: {trust: true}
    """

    def __init__(self, options: RequestIdOptions, context: Context) -> None:
        super().__init__(options, context)
        self._header = options.header.encode("ascii")
        self._trust = options.trust
        self._respond = options.response

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if not request.id:
            request.id = self._trusted(request) or _new_id()
        value = request.id.encode("ascii")
        request.headers.set_bytes(self._header, value)
        if not self._respond:
            return await call_next(request)
        try:
            response = await call_next(request)
        except Exception as error:
            headers_of(error).set_bytes(self._header, value)
            raise
        response.headers.set_bytes(self._header, value)
        return response

    def _trusted(self, request: Request) -> str | None:
        if not self._trust:
            return None
        sent = request.headers.get_bytes(self._header)
        return sent.decode("ascii") if sent is not None and _ACCEPTABLE.fullmatch(sent) else None


_ids: list[str] = []
os.register_at_fork(after_in_child=_ids.clear)  # or two workers would hand out the same rest of a batch


def _new_id() -> str:
    """Return 32 hex digits from the system's random source, which is asked once for many ids."""
    try:
        return _ids.pop()
    except IndexError:
        digits = os.urandom(16 * _BATCH).hex()
        _ids.extend(digits[start : start + 32] for start in range(0, len(digits), 32))
        return _ids.pop()
