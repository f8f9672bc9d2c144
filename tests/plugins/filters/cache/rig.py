"""A cache in front of a service that a test steers, with a clock turned by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from typing import Any

from meshwright_plugins.filters.cache import Cache
from meshwright_sdk import Body, Context, Request, Response, Tasks
from meshwright_sdk.store import AnyStore
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, make_request

Answer = Response | BaseException | Callable[[Request], Response]


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class Rig:
    """Ask `rig.get()`; what has reached the service is in `rig.requests`."""

    def __init__(
        self, *answers: Answer, clock: ManualClock | None = None, store: AnyStore | None = None, **options: Any
    ) -> None:
        self.clock = clock or ManualClock()
        self.tasks = Tasks()
        self.requests: list[Request] = []
        self._service = FakeUpstream(*answers)
        context = Context(clock=self.clock, tasks=self.tasks, store=store, route="all")
        self.cache = build(Cache, context=context, **options)

    def then(self, *answers: Answer) -> None:
        """Have the service give other answers from now on."""
        self._service = FakeUpstream(*answers)

    async def upstream(self, request: Request) -> Response:
        """Give the service's next answer, and keep the request."""
        self.requests.append(request)
        return await self._service(request)

    async def ask(self, method: str = "GET", url: str = "/", **headers: str) -> Response:
        """Send a request and return the answer with its whole content; `_` in a header's name is a hyphen."""
        request = make_request(method, url, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = await self.cache(request, self.upstream)
        await response.body.read(10_000_000)
        await response.aclose()
        return response

    async def get(self, url: str = "/", **headers: str) -> str:
        """Return the content of the answer to a GET."""
        response = await self.ask("GET", url, **headers)
        return (response.body.data or b"").decode()

    def date(self, offset_s: float = 0) -> str:
        """Return the present time, or another, as it stands in a field."""
        return formatdate(self.clock.wall() + offset_s, usegmt=True)

    @property
    def asked(self) -> int:
        """How many requests have reached the service."""
        return len(self.requests)

    def count(self, result: str) -> int:
        number: int = self.cache.state()["requests"][result]
        return number


def answer(
    content: str = "ok", control: str | None = "max-age=60", *, streamed: bool = False, status: int = 200, **more: Any
) -> Response:
    """Return an answer of a service; `_` in a header's name is a hyphen."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if control is not None:
        headers["cache-control"] = control
    body = Body.stream(chunks(*(letter.encode() for letter in content))) if streamed else Body(content.encode())
    return Response(status, headers, body)


def numbered(control: str | None = "max-age=60", **more: Any) -> Callable[[Request], Response]:
    """Return answers whose contents are 1, 2, 3 …"""
    count = 0

    def make(request: Request) -> Response:
        nonlocal count
        count += 1
        return answer(str(count), control, **more)

    return make


def validating(etag: str, control: str = "max-age=60", **more: Any) -> Callable[[Request], Response]:
    """Return a service that has one version, and says 304 to who has it."""

    def make(request: Request) -> Response:
        if request.headers.get("if-none-match") == etag:
            return answer("", control, status=304, etag=etag, **more)
        return answer(f"content of {etag}", control, etag=etag, **more)

    return make
