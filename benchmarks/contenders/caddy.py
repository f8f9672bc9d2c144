"""Caddy as a contender, for reference."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from benchmarks.contenders.contender import Place
from benchmarks.scenario import REQUEST_HEADER, RESPONSE_HEADER, Scenario
from benchmarks.servers import program

# Set in Caddy's favour: no admin API, and as many idle connections to the backend as there may be clients.
CONFIGURATION = """
{{
    admin off
    auto_https off
    log {{
        level ERROR
    }}
}}
{scheme}://127.0.0.1:{port} {{
    bind 127.0.0.1
    {tls}
    reverse_proxy 127.0.0.1:{upstream_port} {{
        {rules}
        transport http {{
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caddy:
    """A proxy in Go, kept to one core by GOMAXPROCS."""

    @property
    def name(self) -> str:
        return "caddy"

    def command(self, place: Place) -> list[str]:
        tls = place.scenario.tls
        text = CONFIGURATION.format(
            scheme="https" if tls else "http",
            port=place.port,
            upstream_port=place.upstream_port,
            tls=f"tls {place.certificate} {place.certificate}" if tls else "",
            rules=_rules(place.scenario),
        )
        file = place.folder / f"Caddyfile-{place.port}"
        file.write_text(text, "utf-8")
        own = [f"{name}={place.folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
        serve = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]
        return [program("env"), "GOMAXPROCS=1", *own, *serve]

    def version(self) -> str:
        said = subprocess.run([program("caddy"), "version"], capture_output=True, text=True, check=True)
        return said.stdout.split()[0].removeprefix("v")


def _rules(scenario: Scenario) -> str:
    if not scenario.filtered:
        return ""
    request, response = " ".join(REQUEST_HEADER), " ".join(RESPONSE_HEADER)
    return f"header_up {request}\n        header_down {response}"
