"""`respond`: a fixed answer in place of a service. Nothing that depends on the request goes in here."""

from __future__ import annotations

from meshwright_sdk import CallNext, Context, Filter, FixedAnswer, Request, Response


class RespondOptions(FixedAnswer):
    """The answer."""


class Respond(Filter[RespondOptions]):
    """Give a fixed answer, without calling the rest of the chain or any service.

    The content is `text` or `json`, or nothing. It suits maintenance pages, blocked paths and stand-ins for a
    service that is not there yet.

    Example:
        filters:
          - respond: {status: 503, json: {error: maintenance}, headers: {retry-after: "600"}}
    """

    def __init__(self, options: RespondOptions, context: Context) -> None:
        super().__init__(options, context)
        self._answer = options.compiled()

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        return self._answer()
