"""`outlier`: endpoints that do worse than the others are out for a while. Asking endpoints goes elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil, inf
from typing import Any

from meshwright_plugins.policies.outlier.comparison import Comparison, compare, outliers
from meshwright_plugins.policies.outlier.history import History
from meshwright_plugins.policies.outlier.options import OutlierOptions
from meshwright_sdk import Attempt, Context, Endpoint, EndpointPolicy, every_status

logger = logging.getLogger("meshwright.outlier")

_GATEWAY_ERRORS = frozenset((502, 503, 504))
_RULES = ("consecutive_failures", "consecutive_gateway_errors", "success_rate", "failure_rate")


class Outlier(EndpointPolicy[OutlierOptions]):
    """Eject endpoints that fail several times in a row, or do worse than the others, and put them back by and by.

    Failures in a row eject at once. Every `interval` the endpoints with enough requests are compared: one is ejected
    whose share of good answers is far below the mean of all, or whose share of failures is above `failure_rate`.
    This is what Envoy calls outlier detection, and Linkerd failure accrual.

    An endpoint is out for `base_ejection`, the second time in a row for twice as long, and so on up to `max_ejection`;
    each interval in which it answered and did not fail makes up for one time. Then it is back as if nothing had been:
    one that is still dead gets `consecutive_gateway_errors` requests in each worker, and those that come before their
    answers, until it is out again. Where it has to be fewer, take `endpoint_breaker`, which tries it with single
    requests; both can be used beside each other, and health checks beside both.

    A failure is a status of `statuses`, a connection that cannot be made or that breaks, an answer that is none, and
    none in time; attempts that somebody gave up are not judged. No more than `max_ejected` of the endpoints are out at
    a time: by default one of two or three, and none of a service that has only one.

    An endpoint that is new, also one that has gone and comes again under the same URL, has no history; one whose
    weight, zone or labels change keeps it. Each worker judges by its share of the traffic: with N workers an endpoint
    has to fail in each of them, and needs N times the requests to be compared in all. A change of the service's
    policies starts anew.

    The admin API shows counts and reasons. Metrics: `meshwright_outlier_ejected` (endpoints that are out, of all
    workers), `meshwright_outlier_ejections_total` (by the `rule`) and `meshwright_outlier_spared_total` (ejections
    that `max_ejected` prevented), with the label `service`.

    Example:
        policies:
          - outlier: {consecutive_failures: 5, failure_rate: 60%, base_ejection: 10s, max_ejected: 34%}
    """

    def __init__(self, options: OutlierOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._statuses = every_status(options.statuses)
        self._failures_in_a_row = options.consecutive_failures or inf
        self._gateway_errors_in_a_row = options.consecutive_gateway_errors or inf
        self._most_times = ceil(options.max_ejection / options.base_ejection)
        self._histories: dict[Endpoint, History] = {}
        self._out: dict[Endpoint, History] = {}
        self._comparison: Comparison | None = None
        metrics, service = context.metrics, context.service or ""
        self._gauge = metrics.gauge(
            "meshwright_outlier_ejected", "Endpoints that are out as outliers.", service=service
        )
        self._spared = metrics.counter(
            "meshwright_outlier_spared_total", "Ejections that max_ejected prevented.", service=service
        )
        self._ejections = metrics.counters(
            "meshwright_outlier_ejections_total", "Ejections of outliers.", "rule", _RULES, service=service
        )

    async def start(self) -> None:
        self.context.tasks.spawn(self._tick(), name=f"outliers of {self.context.service}")

    async def close(self) -> None:
        for endpoint in tuple(self._histories):
            self.removed(endpoint)

    def added(self, endpoint: Endpoint) -> None:
        self._histories[endpoint] = History(endpoint, self._now())

    def removed(self, endpoint: Endpoint) -> None:
        del self._histories[endpoint]
        if self._out.pop(endpoint, None) is not None:
            self._gauge.value -= 1

    def ended(self, attempt: Attempt) -> None:
        history = self._histories.get(attempt.endpoint)
        if history is None:
            return
        response = attempt.response
        if response is None:
            if attempt.failed:
                self._failed(history, attempt, is_gateway_error=True)
        elif response.status in self._statuses:
            self._failed(history, attempt, is_gateway_error=response.status in _GATEWAY_ERRORS)
        else:
            history.successes += 1
            history.failures_in_a_row = history.gateway_errors_in_a_row = 0

    def state(self) -> Mapping[str, Any]:
        now = self._now()
        compared = self._comparison
        return {
            "ejected": len(self._out),
            "may_be_ejected": self._most_out,
            "spared": int(self._spared.value),
            "mean_success_rate": compared.mean if compared else None,
            "least_success_rate": compared.threshold if compared else None,
            "endpoints": {endpoint.url: history.describe(now) for endpoint, history in self._histories.items()},
        }

    @property
    def _most_out(self) -> int:
        return int(self.options.max_ejected * len(self._histories) + 1e-9)

    def _failed(self, history: History, attempt: Attempt, *, is_gateway_error: bool) -> None:
        if history.is_out or attempt.began < history.since:
            return
        history.failures += 1
        history.failures_in_a_row += 1
        history.gateway_errors_in_a_row = history.gateway_errors_in_a_row + 1 if is_gateway_error else 0
        in_a_row = history.gateway_errors_in_a_row
        if in_a_row >= self._gateway_errors_in_a_row:
            self._eject(history, "consecutive_gateway_errors", f"gateway errors in a row: {in_a_row}")
        elif history.failures_in_a_row >= self._failures_in_a_row:
            self._eject(history, "consecutive_failures", f"failures in a row: {history.failures_in_a_row}")

    def _eject(self, history: History, rule: str, reason: str) -> None:
        if len(self._out) >= self._most_out:
            self._spared.value += 1
            history.failures_in_a_row = history.gateway_errors_in_a_row = 0
            return
        options, endpoint = self.options, history.endpoint
        history.times = min(history.times + 1, self._most_times)
        history.ejections += 1
        history.reason = reason
        span_s = min(history.times * options.base_ejection, options.max_ejection)
        span_s *= 1 + options.jitter * self.context.random.random()
        history.until = self._now() + span_s
        self._out[endpoint] = history
        self._gauge.value += 1
        self._ejections[rule].value += 1
        self.service.group.eject(endpoint, self.name, reason)
        logger.warning("service %s: %s is out for %.1f s: %s", self.service.name, endpoint.url, span_s, reason)

    def _put_back(self, now: float) -> None:
        for history in [each for each in self._out.values() if each.until <= now]:
            endpoint = history.endpoint
            history.forget(now)
            del self._out[endpoint]
            self._gauge.value -= 1
            self.service.group.restore(endpoint, self.name)
            logger.info("service %s: the ejection of %s is over", self.service.name, endpoint.url)

    async def _tick(self) -> None:
        """Put back whose time is over, and compare all after each interval."""
        options = self.options
        judging = self._now() + options.interval
        while True:
            back = min((each.until for each in self._out.values()), default=inf)
            # Whoever is ejected meanwhile is out for no less than base_ejection, so that it is not overslept.
            await self.context.clock.sleep(
                max(0.0, min(judging - self._now(), back - self._now(), options.base_ejection))
            )
            now = self._now()
            self._put_back(now)
            if now >= judging:
                judging = now + options.interval
                self._judge()

    def _judge(self) -> None:
        self._compare_success_rates()
        self._look_at_failures()
        for history in self._histories.values():
            history.end_interval()

    def _compare_success_rates(self) -> None:
        options = self.options
        self._comparison = None
        enough = self._with(options.success_rate_requests)
        if options.success_rate_deviations is None or len(enough) < options.success_rate_endpoints:
            return
        rates = {each: each.successes / each.requests for each in enough}
        self._comparison = compare(rates, options.success_rate_deviations, options.success_rate_margin)
        for history in outliers(rates, self._comparison):
            good = f"{rates[history]:.1%} good answers, {self._comparison.mean:.1%} on average"
            self._eject(history, "success_rate", good)

    def _look_at_failures(self) -> None:
        options = self.options
        enough = self._with(options.failure_rate_requests)
        if options.failure_rate is None or len(enough) < options.failure_rate_endpoints:
            return
        for history in sorted(enough, key=lambda each: each.successes / each.requests):
            if history.failures / history.requests >= options.failure_rate:
                self._eject(history, "failure_rate", f"{history.failures} of {history.requests} requests failed")

    def _with(self, requests: int) -> list[History]:
        """Return the endpoints that are in and had so many requests."""
        return [each for each in self._histories.values() if not each.is_out and each.requests >= requests]
