"""What the admin API shows: configuration, routes, services, plugins, metrics; nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from meshwright.admin.problems import as_json
from meshwright.admin.services import add_up_services
from meshwright.config.loader import Hide
from meshwright.plugin_host.info import PluginInfo
from meshwright.processes.control import Applied, Control, Rejection
from meshwright.processes.exposition import CONTENT_TYPE, render
from meshwright.traffic.beside import in_thread
from meshwright_sdk import ConfigError


async def config(request: Request) -> JSONResponse:
    """Show the configuration in use without its secrets, who runs it, and why the last one was rejected."""
    control, applied = _control(request), _applied(request)
    statuses = await control.fleet.statuses()
    shown = await in_thread(applied.config.loaded.redacted)
    return JSONResponse(
        {
            "version": applied.version,
            "applied_at": _time(applied.at),
            "source": applied.document.name,
            "workers": [{key: value for key, value in each.items() if key != "services"} for each in statuses],
            "last_rejected": _rejection(control.last_rejected),
            "config": shown,
        }
    )


async def routes(request: Request) -> JSONResponse:
    """Show the routes in the order of the file, each with all of its filters, outermost first."""
    applied = _applied(request)
    shown = await in_thread(applied.config.loaded.redacted)
    everywhere = shown.get("filters", [])
    return JSONResponse(
        {
            "version": applied.version,
            "routes": [
                {**route, "filters": [*everywhere, *route.get("filters", [])]} for route in shown.get("routes", [])
            ],
        }
    )


async def services(request: Request) -> JSONResponse:
    """Show services and endpoints with what runs to them, all workers added up and each by itself."""
    applied = _applied(request)
    statuses = await _control(request).fleet.statuses()
    shown = applied.config.loaded.hiding("services")
    return JSONResponse(
        {"version": applied.version, "services": [_service(each, shown) for each in add_up_services(statuses)]}
    )


def _service(service: dict[str, Any], shown: Hide) -> dict[str, Any]:
    """Leave out what references gave; addresses stay, for nobody could tell the endpoints apart without."""
    name = service["name"]
    return {**service, "endpoints": [_endpoint(each, partial(shown, name)) for each in service["endpoints"]]}


def _endpoint(endpoint: dict[str, Any], shown: Callable[[str], str]) -> dict[str, Any]:
    texts = {"zone": shown(endpoint["zone"])} if "zone" in endpoint else {}
    labels = {key: shown(value) for key, value in endpoint.get("labels", {}).items()}
    return {**endpoint, **texts, **({"labels": labels} if "labels" in endpoint else {})}


async def state(request: Request) -> JSONResponse:
    """Show what plugins tell of themselves, such as whether a breaker is open, and what they can be told."""
    applied = _applied(request)
    return JSONResponse({"version": applied.version, "uses": await _control(request).fleet.states()})


def plugins(request: Request) -> JSONResponse:
    """Show every plugin there is, with the schema of its options. Runs in a thread, for it may import some."""
    return JSONResponse({"plugins": [_plugin(info) for info in _applied(request).config.registry.all()]})


async def metrics(request: Request) -> Response:
    """Show everything that was counted, for Prometheus."""
    families = await _control(request).metrics()
    return Response(render(families), headers={"content-type": CONTENT_TYPE})


def _control(request: Request) -> Control:
    control: Control = request.app.state.control
    return control


def _applied(request: Request) -> Applied:
    applied = _control(request).applied
    if applied is None:
        raise HTTPException(503, "the gateway is starting")
    return applied


def _rejection(rejection: Rejection | None) -> dict[str, Any] | None:
    if rejection is None:
        return None
    problems = [as_json(problem) for problem in rejection.problems]
    return {"version": rejection.version, "at": _time(rejection.at), "problems": problems}


def _time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds")


def _plugin(info: PluginInfo) -> dict[str, Any]:
    known = {"kind": info.kind, "name": info.name, "origin": info.origin}
    try:
        schema = info.options.model_json_schema() if info.options is not None else None
        return {**known, "summary": info.summary, "options": schema}
    except ConfigError as error:
        return {**known, "error": str(error)}
