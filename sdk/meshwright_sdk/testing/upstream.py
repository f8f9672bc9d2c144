"""`FakeUpstream`: the rest of a chain for tests of one filter; it opens no socket."""

from __future__ import annotations

from collections.abc import Callable

from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

Answer = Response | BaseException | Callable[[Request], Response]


class FakeUpstream:
    """Stands for `call_next`: keeps what it was sent in `requests` and gives the answers in turn.

    An answer is a response, an exception to raise, or a function of the request; the last one is repeated
    (a response that is given again must have a complete body). Without answers it says 200 and `ok`.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers) or [lambda request: Response.text("ok")]

    async def __call__(self, request: Request) -> Response:
        """Take the request and give the next answer."""
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)
