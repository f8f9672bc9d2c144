"""`Carrier`: how whatever answers requests — an endpoint, an application — is counted; choosing one goes elsewhere."""

from __future__ import annotations

from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


class Carrier:
    """Counts the requests that it was given, and those whose response's life has not ended."""

    requests: int
    in_flight: int

    def begin(self) -> None:
        """Count one more request; `answered` or `failed` follows."""
        self.requests += 1
        self.in_flight += 1

    def failed(self) -> None:
        """Take note that the request got no answer."""
        self.in_flight -= 1

    def answered(self, request: Request, response: Response) -> None:
        """Count on until the response's life ends, and keep it among the request's answers."""
        response.on_close(self._done)
        if request.answers is None:
            request.answers = [response]
        else:
            request.answers.append(response)

    def _done(self, error: BaseException | None) -> None:
        self.in_flight -= 1
