"""`Gateway`: the traffic of one worker — the current snapshot, and what outlives it; sockets go elsewhere."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from random import Random

from meshwright.plugin_host.frames import describe_failure
from meshwright.traffic.beside import free, in_thread
from meshwright.traffic.build import build_snapshot
from meshwright.traffic.checked import CheckedConfig, read
from meshwright.traffic.counts import CountsOfRoutes, Visit
from meshwright.traffic.part_maker import Resources
from meshwright.traffic.part_metrics import SharedMetrics
from meshwright.traffic.parts import CLOSE_S, hold, release
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk.clock import SystemClock
from meshwright_sdk.errors import ClientGoneError, MeshwrightError, NoEndpointsError, PluginError
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.problems import problem
from meshwright_sdk.pulse import Pulse
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.side_work import SideWork
from meshwright_sdk.sources import ConfigDocument
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.gateway")

LINGER_S = 0.5
"""How long the control side may still hold a version that nobody uses any more."""


class Gateway:
    """Routes requests and runs their chains; swaps one snapshot for the next between two requests."""

    def __init__(self, *, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.snapshot: Snapshot | None = None
        self._shared = SharedMetrics(self.metrics)
        self._counts = CountsOfRoutes(self.metrics)
        self._retiring: list[Snapshot] = []
        self._tasks = Tasks()
        self._releases = Tasks()
        self._pulse = Pulse()
        self._side_work = SideWork()

    async def prepare(self, document: ConfigDocument, version: int) -> Snapshot:
        """Build the snapshot of `document` beside the current one, which is not touched.

        Raises ConfigError with every problem found; nothing of the new snapshot is left then.
        """
        return await self.build(await in_thread(read, document), version)

    async def build(self, config: CheckedConfig, version: int) -> Snapshot:
        """Do the same with a document that has been read."""
        resources = Resources(
            metrics=self._shared,
            clock=SystemClock(),
            random=Random(),
            call=self.call_service,
            counts=self._counts,
            pulse=self._pulse,
            side_work=self._side_work,
        )
        before = self.snapshot.parts if self.snapshot is not None else ()
        return await build_snapshot(config, version, before, resources)

    async def commit(self, snapshot: Snapshot) -> None:
        """Serve `snapshot` from now on; the one before is closed when its last request has ended."""
        before, self.snapshot = self.snapshot, snapshot
        hold(snapshot.parts)
        for change in snapshot.changes:
            change()
        if before is not None:
            self._retiring.append(before)
            self._tasks.spawn(self._retire(before), name=f"retirement of version {before.version}")

    async def _retire(self, snapshot: Snapshot) -> None:
        await snapshot.users.gone()
        self._retiring.remove(snapshot)
        # In a task of its own: `close` cancels who still waits for requests, never a release that has begun.
        self._releases.spawn(self._release(snapshot), name=f"release of version {snapshot.version}")

    async def _release(self, snapshot: Snapshot) -> None:
        await release(snapshot.parts)
        self._tasks.spawn(free(snapshot.pieces(), LINGER_S), name=f"end of version {snapshot.version}")

    async def discard(self, snapshot: Snapshot) -> None:
        """Give up a snapshot that was prepared and will not be served."""
        hold(snapshot.parts)
        await release(snapshot.parts)

    async def close(self) -> None:
        """Close everything; requests that still run lose their services."""
        snapshot, self.snapshot = self.snapshot, None
        await self._tasks.close()
        for each in (*self._retiring, snapshot):
            if each is not None:
                await release(each.parts)
        await self._releases.close(grace_s=CLOSE_S)

    async def call_service(self, name: str, request: Request) -> Response:
        """Send `request` to a service of the current snapshot; raises UpstreamError."""
        call = self.snapshot.calls.get(name) if self.snapshot is not None else None
        if call is None:
            raise NoEndpointsError(f"service {name}: there is none of that name")
        return await call(request)

    async def handle(self, request: Request) -> Response:
        """Return the answer to `request`; whatever goes wrong becomes a problem document. Raises only CancelledError.

        The caller ends the response's life by `settle` or `aclose`.
        """
        snapshot = self.snapshot
        assert snapshot is not None
        try:
            route = snapshot.router.match(request) or snapshot.unrouted
        except Exception as error:
            return _unroutable(error, request, snapshot)
        request.route = route
        visit = Visit(route.counts, snapshot.users)  # type: ignore[attr-defined]
        try:
            response = await route.handle(request)
            if response.__class__ is not Response or response.closed:
                _refuse_unusable(response)
        except BaseException as error:
            response = await _failed(error, request, visit)
        else:
            answers = request.answers
            if answers and (len(answers) > 1 or answers[0] is not response):
                response.on_close(lambda error: self._close_dropped(request, response))
        visit.status = response.status
        response.on_close(visit)
        return response

    def _close_dropped(self, request: Request, kept: Response) -> None:
        """Close the responses that a filter got and did not return; a filter should have done so itself."""
        if any(not answer.closed for answer in request.answers or () if answer is not kept):
            self._tasks.spawn(_close_answers(request, None), name="close of dropped responses")


def answer_to(error: BaseException, request: Request) -> Response:
    """Return the problem document for what a chain raised; a mistake in a plugin is logged with its author's frames."""
    if not isinstance(error, MeshwrightError) or error.fault == PluginError.fault:
        route = request.route.name if request.route is not None else ""
        logger.error("request %s on route %s: a plugin failed: %s", request.id or "-", route, describe_failure(error))
    return problem(error, request)


def _refuse_unusable(answer: object) -> None:
    """Raise PluginError for what a filter must not return."""
    if not isinstance(answer, Response):
        raise PluginError(f"filter: expected it to return a Response; got {answer!r:.80}")
    if answer.closed:
        raise PluginError("filter: expected a response of this request; got one whose life has ended: make a new one")


def _unroutable(error: Exception, request: Request, snapshot: Snapshot) -> Response:
    visit = Visit(snapshot.unrouted.counts, snapshot.users)
    response = answer_to(error, request)
    visit.status = response.status
    response.on_close(visit)
    return response


async def _failed(error: BaseException, request: Request, visit: Visit) -> Response:
    """Close what the chain got and return the answer to `error`; a cancelled request raises again and ends the visit.

    Whatever else a filter raises is its own failure, be it a SystemExit or the CancelledError of a task it awaited.
    """
    try:
        await _close_answers(request, error)
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise error
    except BaseException as cancelled:
        visit.status = ClientGoneError.status
        visit(cancelled)
        del error  # its traceback has this frame: a cycle, with all that the request has held
        raise
    return answer_to(error, request)


def _is_cancelled() -> bool:
    """Return whether the present task is to end."""
    task = asyncio.current_task()
    return task is None or bool(task.cancelling())


async def _close_answers(request: Request, error: BaseException | None) -> None:
    try:
        async with AsyncExitStack() as stack:  # none stays open when closing another one fails or is cancelled
            for answer in request.answers or ():
                stack.push_async_callback(answer.aclose, error)
    except Exception:
        logger.exception("request %s: closing an answer failed", request.id or "-")
