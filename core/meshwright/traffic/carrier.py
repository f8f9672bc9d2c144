"""`Carrier`: how whatever answers requests — an endpoint, an application — is counted; choosing one goes elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable

from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


class Carrier:
    """Counts the requests that it was given, and those whose response's life has not ended."""

    requests: int
    in_flight: int

    async def carry(self, request: Request, answer: Awaitable[Response]) -> Response:
        """Return `answer`, counted until its life ends, and kept among the request's answers; raises what it does."""
        self.requests += 1
        self.in_flight += 1
        try:
            response = await answer
        except BaseException:
            self.in_flight -= 1
            raise
        response.on_close(self._done)
        if request.answers is None:
            request.answers = [response]
        else:
            request.answers.append(response)
        return response

    def _done(self, error: BaseException | None) -> None:
        self.in_flight -= 1
