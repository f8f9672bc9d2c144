"""HAProxy as a contender, for reference."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from benchmarks.contenders.contender import Place
from benchmarks.scenario import REQUEST_HEADER, RESPONSE_HEADER, Scenario
from benchmarks.servers import program

CONFIGURATION = """
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
    retries 0
    http-reuse always
frontend web
    bind 127.0.0.1:{port}{tls}
    {rules}
    default_backend backend
backend backend
    server one 127.0.0.1:{upstream_port}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxy:
    """A proxy in C that is configured by rules."""

    @property
    def name(self) -> str:
        return "haproxy"

    def command(self, place: Place) -> list[str]:
        text = CONFIGURATION.format(
            port=place.port,
            upstream_port=place.upstream_port,
            tls=f" ssl crt {place.certificate}" if place.scenario.tls else "",
            rules=_rules(place.scenario),
        )
        file = place.folder / f"haproxy-{place.port}.cfg"
        file.write_text(text, "utf-8")
        return [program("haproxy"), "-db", "-q", "-f", str(file)]

    def version(self) -> str:
        said = subprocess.run([program("haproxy"), "-v"], capture_output=True, text=True, check=True)
        return said.stdout.split("version ")[1].split("-")[0]


def _rules(scenario: Scenario) -> str:
    if scenario.streams == "events":
        return "option http-no-delay"  # else it waits for more of each event, as its manual says
    if not scenario.filtered:
        return ""
    request, response = " ".join(REQUEST_HEADER), " ".join(RESPONSE_HEADER)
    return f"http-request set-header {request}\n    http-response set-header {response}"
