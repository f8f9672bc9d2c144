"""`load_weights`: weights that follow the load that endpoints report; what is seen from outside goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from math import exp
from typing import Any

from meshwright_plugins.policies.load_weights.options import LoadWeightsOptions
from meshwright_plugins.policies.load_weights.report import MAX_BYTES, Report, read_base64, read_header, read_json
from meshwright_sdk import (
    Attempt,
    BodyTooLargeError,
    Context,
    Endpoint,
    EndpointPolicy,
    Headers,
    Rounds,
    UpstreamError,
    request_for,
)

logger = logging.getLogger("meshwright.load_weights")

HEADER, BINARY_HEADER = b"endpoint-load-metrics", b"endpoint-load-metrics-bin"
READS_PER_UPDATE = 10
"""Of each endpoint so many reports are read in an update interval at most; the others would change nothing."""
LEAST_HEADROOM = 0.01
"""An endpoint that is full, or more than that, counts as if it had this left."""
MOST = 1e12
"""A utilization or a worth above it means nothing, and numbers without end would spoil the mean of all."""
_READERS: Mapping[bytes, Callable[[bytes], Report]] = {HEADER: read_header, BINARY_HEADER: read_base64}


class LoadWeights(EndpointPolicy[LoadWeightsOptions]):
    """Weigh endpoints by the load that they report.

    A report comes with an answer, in the header `endpoint-load-metrics` of the ORCA standard, or with the answer to a
    poll. One in trailers is not seen. It is `TEXT cpu_utilization=0.3, rps_fractional=10`, or `JSON` and an object,
    or `BIN` and a protobuf in base64, which may also be alone in `endpoint-load-metrics-bin`.

    By `headroom` an endpoint of utilization `u` is worth `1 - u`, 0.01 at least. By `capacity` it is worth
    `rps_fractional / u`, which is what it could serve. Errors that it reports count as utilization, by
    `error_penalty`. Its weight is its own, of the YAML or discovery, times its worth, divided by the mean worth of all
    that report. So of two endpoints by `headroom` one that reports 0.6 gets 40 % of the traffic and one that reports
    0.4 gets 60 %; with 0.9 and 0.1 it is 10 % and 90 %. `headroom` makes do with a utilization, and moves the more
    traffic the fuller endpoints are. `capacity` brings endpoints to the same utilization, and wants reports that tell
    of all requests to an endpoint, whoever sends them.

    An endpoint that does not report, not yet for `blackout` or not for `expiry`, has its own weight. Weights change in
    every `update_interval` at most, in steps of 1 %; balancers that know no weights (`round_robin`, `random`) do not
    notice. Workers see the reports to their own requests.

    Metric: `meshwright_load_weights_reports_total` (by `service` and `result`: `good` or `bad`).

    Example:
        policies:
          - load_weights: {formula: headroom, smoothing: 5s, blackout: 10s}
    """

    def __init__(self, options: LoadWeightsOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._spacing_s = options.update_interval / READS_PER_UPDATE
        self._loads: dict[Endpoint, _Load] = {}
        self._ticker: asyncio.Task[None] | None = None
        poll = options.poll
        self._rounds = Rounds(self._poll, context, interval_s=poll.interval) if poll is not None else None
        name, help = (
            "meshwright_load_weights_reports_total",
            "Reports of endpoints that were read, by what came of them.",
        )
        reports = context.metrics.counters(name, help, "result", ("good", "bad"), service=context.service or "")
        self._good, self._bad = reports["good"], reports["bad"]

    def added(self, endpoint: Endpoint) -> None:
        """Wait for its reports, or begin to ask for them."""
        self._loads[endpoint] = _Load()
        if self._rounds is not None:
            self._rounds.begin(endpoint)

    def removed(self, endpoint: Endpoint) -> None:
        """Forget it."""
        self._loads.pop(endpoint, None)
        if self._rounds is not None:
            self._rounds.end(endpoint)

    def ended(self, attempt: Attempt) -> None:
        """Read the report that came with the answer, and take it off."""
        response = attempt.response
        if response is None:
            return
        for name, value in response.headers.raw:
            if name in _READERS:
                self._note(attempt.endpoint, _READERS[name], value)
                if self.options.remove_header:
                    response.headers.remove(HEADER, BINARY_HEADER)
                return

    def state(self) -> Mapping[str, Any]:
        """Return what is known of each endpoint that reports."""
        now = self._now()
        endpoints = {
            endpoint.url: {
                "weight": endpoint.factors.get(self.name, 1.0),
                "utilization": round(load.utilization, 3),
                "age_s": round(now - load.last, 1),
            }
            for endpoint, load in self._loads.items()
            if load.first is not None
        }
        return {"endpoints": endpoints}

    def _note(self, endpoint: Endpoint, read: Callable[[bytes], Report], content: bytes) -> None:
        load, now = self._loads.get(endpoint), self._now()
        if load is None or now - load.read_at < self._spacing_s:
            return
        load.read_at = now
        try:
            utilization, worth = self._judge(read(content))
        except ValueError as error:
            self._refuse(endpoint, load, str(error))
            return
        self._good.value += 1
        load.is_bad = False
        load.note(utilization, worth, now, self.options.smoothing)
        if self._ticker is None:
            self._ticker = self.context.tasks.spawn(self._tick(), name=f"load weights of {self.service.name}")

    def _refuse(self, endpoint: Endpoint, load: _Load, problem: str) -> None:
        self._bad.value += 1
        if not load.is_bad:
            logger.warning("service %s: %s: its load report is of no use: %s", self.service.name, endpoint.url, problem)
        load.is_bad = True

    def _judge(self, report: Report) -> tuple[float, float]:
        """Return the utilization that a report tells, and what its endpoint is worth; raises ValueError."""
        metric = self.options.metric
        if metric is None:
            metric = "application_utilization" if report.get("application_utilization") else "cpu_utilization"
        if metric not in report:
            raise ValueError(f"expected {metric} in it; got {', '.join(report) or 'nothing'}")
        rps = report.get("rps_fractional", 0.0)
        utilization = report[metric] + (self.options.error_penalty * report.get("eps", 0.0) / rps if rps else 0.0)
        if not utilization <= MOST:
            raise ValueError(f"expected a utilization of {MOST:g} or less, errors included; got {utilization:g}")
        if self.options.formula == "headroom":
            return utilization, max(1.0 - utilization, LEAST_HEADROOM)
        if not rps or not utilization:
            raise ValueError(f"expected rps_fractional and {metric} above 0; got {rps:g} and {utilization:g}")
        if not rps / utilization <= MOST:
            raise ValueError(f"expected rps_fractional / {metric} of {MOST:g} or less; got {rps / utilization:g}")
        return utilization, rps / utilization

    async def _tick(self) -> None:
        """Weigh anew in each interval while there are reports; then there is nothing to do."""
        reporting = True
        while reporting:
            await self.context.clock.sleep(self.options.update_interval)
            reporting = self._weigh()
        self._ticker = None

    def _weigh(self) -> bool:
        """Change the weights; return whether any endpoint reports."""
        now, options = self._now(), self.options
        worths: dict[Endpoint, float] = {}
        reporting = False
        for endpoint, load in self._loads.items():
            if load.first is not None and now - load.last >= options.expiry:
                load.first = None
            if load.first is not None:
                reporting = True
                if now - load.first >= options.blackout:
                    worths[endpoint] = load.worth
        mean = sum(worths.values()) / len(worths) if worths else 1.0
        factors = dict.fromkeys(self._loads, 1.0)
        factors.update({each: max(round(worth / mean, 2), options.minimum) for each, worth in worths.items()})
        self.service.group.scale_all(self.name, factors)
        return reporting

    async def _poll(self, endpoint: Endpoint) -> None:
        assert self.options.poll is not None
        problem = ""
        try:
            async with asyncio.timeout(self.options.poll.timeout):
                problem = await self._ask(endpoint, self.options.poll.path)
        except TimeoutError:
            problem = f"no answer within {self.options.poll.timeout}"
        except UpstreamError as error:
            problem = str(error).removeprefix("upstream: ")
        except BodyTooLargeError:
            problem = f"expected {MAX_BYTES} bytes at most; got more"
        if problem and endpoint in self._loads:
            self._refuse(endpoint, self._loads[endpoint], problem)

    async def _ask(self, endpoint: Endpoint, target: str) -> str:
        """Ask for a report and take note of it; return why there is none, or an empty text."""
        headers = Headers({"user-agent": "meshwright-load-weights", "accept": "application/json, */*;q=0.5"})
        response = await self.service.probe(endpoint, request_for(target, headers))
        try:
            if response.status // 100 != 2:
                return f"status {response.status}"
            for name, value in response.headers.raw:
                if name in _READERS:
                    self._note(endpoint, _READERS[name], value)
                    return ""
            content = await response.body.read(MAX_BYTES)
            self._note(endpoint, read_json, content)
            return ""
        finally:
            await response.aclose()


class _Load:
    """What one endpoint has reported, smoothed; `first` is None while it has not."""

    __slots__ = ("first", "is_bad", "last", "read_at", "utilization", "worth")

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0
        self.read_at = float("-inf")
        self.utilization = 0.0
        self.worth = 0.0
        self.is_bad = False

    def note(self, utilization: float, worth: float, now: float, smoothing_s: float) -> None:
        """Take a report in."""
        if self.first is None:
            self.first = now
            self.utilization, self.worth = utilization, worth
        else:
            new = 1.0 - exp((self.last - now) / smoothing_s) if smoothing_s else 1.0
            self.utilization += new * (utilization - self.utilization)
            self.worth += new * (worth - self.worth)
        self.last = now
