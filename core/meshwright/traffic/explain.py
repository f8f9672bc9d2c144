"""`explain`: what would become of a request — route, filters, service, endpoint; nothing is sent, nothing moves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from meshwright.config.model import ListenerConfig, RouteConfig
from meshwright.config.plugin_use import PluginUse
from meshwright.http1.forwarding import Forwarding
from meshwright.http1.grammar import read_request_line
from meshwright.http1.request_head import peer_of, request_of
from meshwright.http1.rules import read_head
from meshwright.traffic.snapshot import Snapshot
from meshwright.traffic.split import split_of
from meshwright_sdk import Context, DownstreamError, Endpoint, Headers, Request, Response
from meshwright_sdk.balancing import AnyBalancer

_URL = re.compile(r"(?:(?P<scheme>https?)://(?P<authority>[^/?#]+))?(?P<target>(?:[/?].*|\*)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteVerdict:
    """Why one route was or was not chosen."""

    route: str
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterStep:
    """A filter that the request would pass, with the options that the YAML gives it; `scope` says for which routes."""

    name: str
    options: Mapping[str, Any]
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChoice:
    """An endpoint of a service as it is now; `picked` is what a balancer that begins anew picks, be it by chance."""

    url: str
    weight: int
    zone: str
    in_flight: int
    picked: bool
    ejected: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceChoice:
    """A service of the route and its share of the requests; `balancer` is empty for an application.

    `filters` go around each attempt at it.
    """

    name: str
    share: float
    chosen: bool
    balancer: str
    endpoints: tuple[EndpointChoice, ...]
    filters: tuple[FilterStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would become of one request; without a `route` it gets 404, after the filters of every route."""

    method: str
    url: str
    route: str | None
    path_params: Mapping[str, str]
    verdicts: tuple[RouteVerdict, ...]
    filters: tuple[FilterStep, ...] = ()
    services: tuple[ServiceChoice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return asdict(self)


def explain(snapshot: Snapshot, method: str, url: str, headers: Iterable[Sequence[str]] = ()) -> Explanation:
    """Return what would become of a request as the client would send it.

    `url` is absolute, or a path alone; `headers` are pairs, of which Host goes before the URL's. What a listener
    decides is as with the first one of the URL's scheme. No filter runs, so what one would change or answer itself is
    not seen. Turns of balancers and splits begin anew, those in use are not moved. Raises ValueError for what is no
    request, or one that the gateway refuses before it looks for a route.
    """
    request = _request(method, url, headers, snapshot.config.config.listeners)
    route = snapshot.router.match(request)
    shown = snapshot.config.hiding("routes")
    verdicts = tuple(
        RouteVerdict(route=verdict.route.name, chosen=verdict.chosen, reason=shown(verdict.route.index, verdict.reason))
        for verdict in snapshot.router.explain(request)
    )
    config = snapshot.config.config.routes[route.index] if route is not None else None
    return Explanation(
        method=request.method,
        url=request.url,
        route=route.name if route is not None else None,
        path_params=dict(request.path_params),
        verdicts=verdicts,
        filters=tuple(_filters(snapshot, route.index if route is not None else None)),
        services=tuple(_services(snapshot, config, request)) if config is not None else (),
    )


def _request(method: str, url: str, fields: Iterable[Sequence[str]], listeners: Sequence[ListenerConfig]) -> Request:
    """Return the request as the HTTP server would hand it on, or refuse it as that would."""
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError(f"url: expected http://host/path or just /path; got {url!r}")
    raw = Headers([(name, value) for name, value in fields]).raw
    if not any(name == b"host" for name, _ in raw):
        raw.insert(0, (b"host", (parts["authority"] or "localhost").encode()))
    target = parts["target"] if parts["target"].startswith(("/", "*")) else f"/{parts['target']}"
    is_secure = (parts["scheme"] or "").lower() == "https"
    listener = next((each for each in listeners if (each.tls is not None) == is_secure), listeners[0])
    line = read_request_line(f"{method.upper()} {target} HTTP/1.1".encode())
    try:
        peer = peer_of("", None, tls=is_secure, forwarding=Forwarding.of(listener))
        return request_of(*line, read_head(raw, DownstreamError), peer)
    except DownstreamError as error:
        raise ValueError(error.detail) from error


def _filters(snapshot: Snapshot, index: int | None) -> Iterator[FilterStep]:
    """Yield the filters, outermost first, with options as they may be shown; without a route those of every route."""
    loaded = snapshot.config
    yield from _steps("every route", loaded.config.filters, loaded.redacted_filters())
    if index is not None:
        yield from _steps("this route", loaded.config.routes[index].filters, loaded.redacted_filters(index))


def _steps(scope: str, uses: Sequence[PluginUse], shown: Sequence[Any]) -> Iterator[FilterStep]:
    for use, text in zip(uses, shown, strict=True):
        # A name that a reference gave stands as it was written, and has no options.
        options = _given(use, text[use.name]) if isinstance(text, Mapping) else {}
        yield FilterStep(name=use.name, options=options, scope=scope)


def _given(use: PluginUse, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the options that have their default."""
    given = use.options.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False, fallback=str)
    return {name: value for name, value in shown.items() if name in given}


def _services(snapshot: Snapshot, route: RouteConfig, request: Request) -> Iterator[ServiceChoice]:
    chosen = _chosen_service(route, request) if route.to else ""
    total = sum(target.weight for target in route.to)
    shown = snapshot.config.hiding("services")
    for target in route.to:
        service = snapshot.services[target.service]
        config = snapshot.config.config.services[target.service]
        use = config.balancer
        usable = [endpoint for endpoint in service.endpoints if not endpoint.ejections] or service.endpoints
        picked = _pick(snapshot, use, usable, request) if usable else None
        around = snapshot.config.redacted_filters_of(target.service)
        yield ServiceChoice(
            name=target.service,
            share=target.weight / total if total else 1 / len(route.to),
            chosen=target.service == chosen,
            balancer="" if config.app is not None else use.name,
            endpoints=tuple(
                _endpoint(each, shown(target.service, each.instance.zone), each is picked) for each in service.endpoints
            ),
            filters=tuple(_steps(f"each attempt at {target.service}", config.filters, around)),
        )


def _chosen_service(route: RouteConfig, request: Request) -> str:
    """Return the service that a split which begins anew would send the request to."""
    chosen: list[str] = []

    async def note(name: str, request: Request) -> Response:
        chosen.append(name)
        return Response()

    split = split_of(route, lambda name: partial(note, name))
    with suppress(StopIteration):  # it waits for nothing, so that one step takes it to its end
        split(request).send(None)
    return chosen[0]


def _pick(snapshot: Snapshot, use: PluginUse, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
    balancer: AnyBalancer = snapshot.registry.build("balancer", use.name, use.checked, Context())
    return balancer.pick(endpoints, request)


def _endpoint(endpoint: Endpoint, zone: str, picked: bool) -> EndpointChoice:
    return EndpointChoice(
        url=endpoint.url,
        weight=endpoint.weight,
        zone=zone,
        in_flight=endpoint.in_flight,
        picked=picked,
        ejected=dict(endpoint.ejections),
    )
