"""Meshwright as a contender: started as an operator starts it, or under a plain ASGI server."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from benchmarks.contenders.contender import Place
from benchmarks.scenario import REQUEST_HEADER, RESPONSE_HEADER, Scenario
from benchmarks.servers import free_port, program
from benchmarks.token import ISSUER, SECRET

# As many idle connections to the backend are kept as there may be clients, as in the other contenders' files.
CONFIGURATION = """
listeners:
  - {{name: web, bind: "127.0.0.1:{port}"{tls}}}
admin: {{bind: "127.0.0.1:{admin_port}"}}
{filters}
routes:
{routes}
services:
  backend:
    endpoints: ["http://127.0.0.1:{upstream_port}"]
{around}
"""

FILTER = f"""
from meshwright_sdk import filter


@filter
async def stamp(request, call_next):
    request.headers["{REQUEST_HEADER[0]}"] = "{REQUEST_HEADER[1]}"
    response = await call_next(request)
    response.headers["{RESPONSE_HEADER[0]}"] = "{RESPONSE_HEADER[1]}"
    return response
"""

BEARER = f"""
import hmac, json, time
from base64 import urlsafe_b64decode, urlsafe_b64encode

from meshwright_sdk import DownstreamError, Identity, filter

SECRET = {SECRET!r}
ISSUER = {ISSUER!r}
known = {{}}


@filter
async def bearer(request, call_next):
    shown = request.headers.get_bytes(b"authorization") or b""
    identity, expires = known.get(shown) or verified(shown)
    if time.time() >= expires:
        raise DownstreamError("token: expected one that is valid still", status=401, code="unauthorized")
    request.identity = identity
    return await call_next(request)


def verified(shown):
    signed, _, signature = shown.removeprefix(b"Bearer ").rpartition(b".")
    expected = urlsafe_b64encode(hmac.digest(SECRET, signed, "sha256")).rstrip(b"=")
    if not hmac.compare_digest(expected, signature):
        raise DownstreamError("token: expected one that is signed", status=401, code="unauthorized")
    claims = json.loads(urlsafe_b64decode(signed.split(b".")[1] + b"=="))
    if claims["iss"] != ISSUER:
        raise DownstreamError("token: expected another issuer", status=401, code="unauthorized")
    if len(known) > 1000:
        known.clear()
    known[shown] = Identity(subject=claims["sub"], method="jwt", issuer=ISSUER, claims=claims), claims["exp"]
    return known[shown]
"""

# What Envoy leaves out by default is left out: the id in answers, and the headers about deadline and attempt.
CHAIN = """plugins: [./stamp.py, ./bearer.py]
filters:
  - request_id: {response: false}
  - bearer
  - rate_limit: {rate: 1000000/s, burst: 10000000, key: route, headers: false}
  - retry: {on: [connect, reset, 5xx], header: null}
  - timeout: {after: 5s, header: null}
  - stamp
"""

AROUND = """    filters: [circuit_breaker]
"""

APPLICATION = """
from meshwright.asgi import GatewayApp

gateway = GatewayApp("{file}")
"""


def routes(number: int) -> str:
    """Write so many routes: one for everything, or one for each first segment of the path."""
    if number == 1:
        return '  - {name: all, match: {path: "/*"}, to: backend}'
    lines = (f'  - {{name: r{each}, match: {{path: "/r{each}/*"}}, to: backend}}' for each in range(number))
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meshwright:
    """This project. With one worker everything runs in one process."""

    workers: int = 1
    admin_port: int = 0

    @property
    def name(self) -> str:
        return "meshwright"

    def configuration(self, place: Place) -> str:
        scenario, certificate = place.scenario, place.certificate
        if scenario.filtered:
            (place.folder / "stamp.py").write_text(FILTER, "utf-8")
            (place.folder / "bearer.py").write_text(BEARER, "utf-8")
        return CONFIGURATION.format(
            port=place.port,
            admin_port=self.admin_port or free_port(),
            upstream_port=place.upstream_port,
            tls=f", tls: {{certificate: {certificate}, key: {certificate}}}" if scenario.tls else "",
            filters=_filters(scenario),
            around=AROUND if scenario.chained else "",
            routes=routes(scenario.routes),
        )

    def command(self, place: Place) -> list[str]:
        file = place.folder / f"gateway-{place.port}.yaml"
        file.write_text(self.configuration(place), "utf-8")
        workers = [] if self.workers == 1 else ["--workers", str(self.workers)]
        return [program("meshwright"), "run", str(file), *workers]

    def version(self) -> str:
        return metadata.version("meshwright")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshwrightUnderUvicorn:
    """The gateway as an ASGI application, served by plain uvicorn as its users would start it."""

    @property
    def name(self) -> str:
        return "uvicorn"

    def command(self, place: Place) -> list[str]:
        file = place.folder / f"mounted-{place.port}.yaml"
        file.write_text(Meshwright().configuration(place), "utf-8")
        (place.folder / f"app_{place.port}.py").write_text(APPLICATION.format(file=file), "utf-8")
        return [
            program("uvicorn"),
            f"app_{place.port}:gateway",
            *("--host", "127.0.0.1", "--port", str(place.port), "--log-level", "warning", "--no-access-log"),
        ]

    def version(self) -> str:
        return metadata.version("uvicorn")


def _filters(scenario: Scenario) -> str:
    if scenario.chained:
        return CHAIN
    return "plugins: [./stamp.py]\nfilters: [stamp]" if scenario.filtered else ""
