"""Envoy as a contender: the reference of every ratio."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from benchmarks.contenders.contender import Place
from benchmarks.scenario import REQUEST_HEADER, RESPONSE_HEADER, Scenario
from benchmarks.servers import program
from benchmarks.token import ISSUER, KEYS

# Set in Envoy's favour where a default would cost it something that a plain proxy does not need: no request id,
# no access log, no own headers, and no circuit breaker within reach. There is no admin listener.
CONFIGURATION = """
static_resources:
  listeners:
  - name: web
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
HttpConnectionManager
          stat_prefix: web
          codec_type: HTTP1
          generate_request_id: {request_id}
          {upgrades}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{routes}
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
{tls}
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100000}}
{cluster}
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}
"""

TLS = """
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{filename: {file}}}
              private_key: {{filename: {file}}}
"""

LUA = f"""
          - name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  function envoy_on_request(handle)
                    handle:headers():replace("{REQUEST_HEADER[0]}", "{REQUEST_HEADER[1]}")
                  end
                  function envoy_on_response(handle)
                    handle:headers():replace("{RESPONSE_HEADER[0]}", "{RESPONSE_HEADER[1]}")
                  end
"""


# Tokens that were verified are kept, as the others keep them.
CHAIN = f"""
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                bench:
                  issuer: {ISSUER}
                  forward: true
                  local_jwks: {{inline_string: '{KEYS}'}}
                  jwt_cache_config: {{jwt_cache_size: 1000}}
              rules:
              - {{match: {{prefix: /}}, requires: {{provider_name: bench}}}}
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: limit
              token_bucket: {{max_tokens: 10000000, tokens_per_fill: 1000000, fill_interval: 1s}}
              filter_enabled: {{default_value: {{numerator: 100}}}}
              filter_enforced: {{default_value: {{numerator: 100}}}}
"""

BREAKER = """    outlier_detection: {consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s}
"""

ROUTE = "{cluster: backend, timeout: 5s, retry_policy: {retry_on: '5xx,reset,connect-failure', num_retries: 2}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envoy:
    """A proxy in C++ that is configured by data, as Meshwright is by plugins."""

    workers: int = 1

    @property
    def name(self) -> str:
        return "envoy"

    def command(self, place: Place) -> list[str]:
        scenario = place.scenario
        text = CONFIGURATION.format(
            port=place.port,
            upstream_port=place.upstream_port,
            upgrades="upgrade_configs: [{upgrade_type: websocket}]" if scenario.streams == "websocket" else "",
            routes=_routes(scenario),
            request_id=str(scenario.chained).lower(),
            filters=(CHAIN if scenario.chained else "") + (LUA if scenario.filtered else ""),
            cluster=BREAKER if scenario.chained else "",
            tls=TLS.format(file=place.certificate) if scenario.tls else "",
        )
        file = place.folder / f"envoy-{place.port}.yaml"
        file.write_text(text, "utf-8")
        return [
            program("envoy"),
            *("--config-path", str(file)),
            *("--concurrency", str(self.workers)),
            *("--log-level", "error"),
            "--use-dynamic-base-id",  # another Envoy may run here
        ]

    def version(self) -> str:
        said = subprocess.run([program("envoy"), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split("version:")[1].split("/")[1]


def _routes(scenario: Scenario) -> str:
    target = "{cluster: backend, timeout: 0s}" if scenario.streams else "{cluster: backend}"
    if scenario.chained:
        target = ROUTE
    prefixes = ["/"] if scenario.routes == 1 else [f"/r{each}/" for each in range(scenario.routes)]
    lines = (f'              - {{match: {{prefix: "{prefix}"}}, route: {target}}}' for prefix in prefixes)
    return "\n".join(lines)
