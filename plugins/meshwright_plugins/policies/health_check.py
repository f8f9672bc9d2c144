"""`health_check`: asks endpoints how they are, beside the traffic; what the traffic itself shows goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_sdk import (
    Context,
    Duration,
    Endpoint,
    EndpointPolicy,
    HeaderFields,
    Headers,
    Options,
    Percent,
    PositiveDuration,
    Request,
    RequestTarget,
    Response,
    Rounds,
    Statuses,
    UpstreamError,
    every_status,
    request_for,
)

logger = logging.getLogger("meshwright.health_check")

MAX_BODY_BYTES = 64 * 1024
"""How much of an answer is searched for `contains`."""


class HealthCheckOptions(Options):
    """What is asked, how often, and what the answers mean."""

    kind: Literal["http", "tcp"] = Field(
        "http", description="http: send a request; tcp: a connection is enough, over TLS where the endpoint is https."
    )
    path: RequestTarget = Field("/", description="Path that is asked for, with its query.")
    method: Literal["GET", "HEAD", "OPTIONS"] = Field("GET", description="Method of the request.")
    host: str | None = Field(
        None, min_length=1, pattern=r"^[!-~]+$", description="Host of the request; what the service sends else."
    )
    headers: HeaderFields = Field({}, description="More headers of the request.")
    statuses: Statuses = Field(("2xx",), description="Statuses of an endpoint that is well, such as 204 or 3xx.")
    contains: str | None = Field(
        None, min_length=1, description="Text that the answer has to contain within its first 64 KiB."
    )
    interval: PositiveDuration = Field(Duration("5s"), description="Time from one question to an endpoint to the next.")
    jitter: Percent = Field(
        Percent("10%"), description="Each interval is longer or shorter by up to this share, by chance."
    )
    timeout: PositiveDuration = Field(Duration("2s"), description="How long an answer may take, connecting included.")
    fall: PositiveInt = Field(3, description="So many failures in a row take an endpoint out.")
    rise: PositiveInt = Field(
        2, description="So many good answers in a row bring it back; one does where it was out from the start."
    )
    initial: Literal["healthy", "unhealthy"] = Field(
        "healthy",
        description="What an endpoint is until it has answered: in, or out until the first good answer.",
    )
    max_in_flight: PositiveInt = Field(
        32, description="Endpoints that are asked at the same time at most, by a worker."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        asked = {"path", "method", "host", "headers", "statuses", "contains"} & self.model_fields_set
        if self.kind == "tcp" and asked:
            raise ValueError(f"{min(asked)}: expected none with kind: tcp, which sends nothing; got one")
        if self.method == "HEAD" and self.contains is not None:
            raise ValueError("contains: expected none with method: HEAD, which is answered without content; got one")
        return self


class HealthCheck(EndpointPolicy[HealthCheckOptions]):
    """Take endpoints out that do not answer as they should, and bring them back when they do.

    Every worker asks for itself, each endpoint in turn whether it is in or out, by a connection of its own over the
    service's TLS or Unix socket. New endpoints are asked within a second; from then on questions are spread over the
    interval by chance. When fewer than the service's `panic_threshold` would be left, all are used.

    Metrics: `meshwright_health_check_endpoints` (by `service` and `state`, over all workers) and
    `meshwright_health_check_probes_total` (by `service` and `result`).

    Example:
        policies:
          - health_check: {path: /healthz, interval: 5s, contains: ready}
    """

    def __init__(self, options: HealthCheckOptions, context: Context) -> None:
        super().__init__(options, context)
        self._patients: dict[Endpoint, _Patient] = {}
        self._rounds = Rounds(
            self._look,
            context,
            interval_s=options.interval,
            jitter=options.jitter,
            concurrency=options.max_in_flight,
        )
        self._statuses = every_status(options.statuses)
        self._wanted = (options.contains or "").encode()
        self._who = f"service {context.service}"
        self._declare()

    def _declare(self) -> None:
        metrics, service = self.context.metrics, self.context.service or ""
        name, help = "meshwright_health_check_endpoints", "Endpoints by what health checks say of them, of all workers."
        self._count = {out: metrics.gauge(name, help, service=service, state=_STATES[out]) for out in (False, True)}
        name, help = "meshwright_health_check_probes_total", "Questions to endpoints by what came of them."
        self._probes = metrics.counters(name, help, "result", ("good", "bad"), service=service)

    def added(self, endpoint: Endpoint) -> None:
        """Begin to ask a new endpoint."""
        patient = _Patient(self.options.initial == "unhealthy")
        if patient.out:
            self.service.group.eject(endpoint, self.name, "it has not answered a health check yet")
        self._count[patient.out].value += 1
        self._patients[endpoint] = patient
        self._rounds.begin(endpoint)

    def removed(self, endpoint: Endpoint) -> None:
        """Ask it no longer."""
        patient = self._patients.pop(endpoint, None)
        if patient is not None:
            self._count[patient.out].value -= 1
            self._rounds.end(endpoint)

    async def close(self) -> None:
        """Count no endpoint any more; the questions end with the context's tasks."""
        for endpoint in list(self._patients):
            self.removed(endpoint)

    def state(self) -> Mapping[str, Any]:
        """Return what is known of each endpoint."""
        endpoints = {
            endpoint.url: {"state": _STATES[patient.out], "in_a_row": patient.in_a_row, "problem": patient.problem}
            for endpoint, patient in self._patients.items()
        }
        return {"endpoints": endpoints}

    async def _look(self, endpoint: Endpoint) -> None:
        problem = await self._problem(endpoint)
        patient = self._patients[endpoint]
        self._probes["bad" if problem else "good"].value += 1
        if patient.note(problem, self.options):
            self._count[not patient.out].value -= 1
            self._count[patient.out].value += 1
            if patient.out:
                logger.warning("%s: %s is out: %s", self._who, endpoint.url, problem)
            else:
                logger.info("%s: %s is in again", self._who, endpoint.url)
        if patient.out:
            self.service.group.eject(endpoint, self.name, patient.problem or "it has not answered well often enough")
        elif not problem:
            self.service.group.approve(endpoint, self.name)

    async def _problem(self, endpoint: Endpoint) -> str:
        """Ask once; return what is wrong, or an empty text."""
        try:
            async with asyncio.timeout(self.options.timeout):
                if self.options.kind == "tcp":
                    await self.service.probe_connection(endpoint)
                    return ""
                return await self._ask(endpoint)
        except TimeoutError:
            return f"no answer within {self.options.timeout}"
        except UpstreamError as error:
            return str(error).removeprefix("upstream: ")
        except Exception:
            logger.exception("%s: the health check of %s failed itself", self._who, endpoint.url)
            return "the health check failed itself: see the log"

    async def _ask(self, endpoint: Endpoint) -> str:
        response = await self.service.probe(endpoint, self._request())
        try:
            if response.status not in self._statuses:
                return f"status {response.status}"
            if self._wanted and not await _contains(response, self._wanted):
                return f"its answer does not contain {self.options.contains!r:.100}"
            return ""
        finally:
            await response.aclose()

    def _request(self) -> Request:
        headers = Headers({"user-agent": "meshwright-health-check", "accept": "*/*", **self.options.headers})
        host = self.options.host
        if host is not None:
            headers["host"] = host
        return request_for(self.options.path, headers, method=self.options.method)


_STATES = {False: "healthy", True: "unhealthy"}


class _Patient:
    """What is known of one endpoint, and whether it is out; who acts on it is the policy."""

    __slots__ = ("fresh", "in_a_row", "out", "problem")

    def __init__(self, out: bool) -> None:
        self.out = out
        self.fresh = True  # nothing has been found out yet
        self.in_a_row = 0
        self.problem = ""

    def note(self, problem: str, options: HealthCheckOptions) -> bool:
        """Take note of an answer; return whether that takes the endpoint out or brings it back."""
        again = self.in_a_row > 0 and bool(problem) is bool(self.problem)
        self.in_a_row = self.in_a_row + 1 if again else 1
        self.problem = problem
        needed = options.fall if problem else 1 if self.fresh else options.rise
        self.fresh = self.fresh and bool(problem)
        if bool(problem) is self.out or self.in_a_row < needed:
            return False
        self.out, self.fresh = bool(problem), False
        return True


async def _contains(response: Response, wanted: bytes) -> bool:
    content = b""
    async for chunk in response.body:
        content += chunk
        if wanted in content[:MAX_BODY_BYTES]:
            return True
        if len(content) >= MAX_BODY_BYTES:
            break
    return False
