"""Envoy as a contender: the reference of every ratio."""

from __future__ import annotations

import subprocess

from benchmarks.contenders import Place
from benchmarks.servers import program

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
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: backend}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100000}}
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}
"""


class Envoy:
    """A proxy in C++ that is configured by data, as Meshwright is by plugins."""

    name = "envoy"

    def command(self, place: Place) -> list[str]:
        file = place.folder / "envoy.yaml"
        file.write_text(CONFIGURATION.format(port=place.port, upstream_port=place.upstream_port), "utf-8")
        return [
            program("envoy"),
            *("--config-path", str(file)),
            *("--concurrency", "1"),
            *("--log-level", "error"),
            "--use-dynamic-base-id",  # another Envoy may run here
        ]

    def version(self) -> str:
        said = subprocess.run([program("envoy"), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split("version:")[1].split("/")[1]
