"""nginx, HAProxy and Envoy as plain proxies to one port, each with as few rules of its own as it can have."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

START_S = 40.0
STOP_S = 10.0

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream_port};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen all
    bind 127.0.0.1:{port}
    retries 0
    server upstream 127.0.0.1:{upstream_port}
"""

ENVOY = """
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
          upgrade_configs: [{{upgrade_type: websocket}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {{match: {{prefix: "/"}}, route: {{cluster: upstream, timeout: 0s}}}}
              - {{match: {{path: "*"}}, route: {{cluster: upstream, timeout: 0s}}}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: upstream
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}
"""

Command = Callable[[str, Path], list[str]]

PROXIES: dict[str, tuple[str, Command]] = {
    "nginx": (NGINX, lambda program, file: [program, "-p", str(file.parent), "-e", "stderr", "-c", str(file)]),
    "haproxy": (HAPROXY, lambda program, file: [program, "-db", "-q", "-f", str(file)]),
    "envoy": (
        ENVOY,
        lambda program, file: [
            *(program, "--config-path", str(file), "--concurrency", "1", "--log-level", "error"),
            *("--use-dynamic-base-id", "--disable-hot-restart"),
        ],
    ),
}


def program(name: str) -> str | None:
    """Find a program beside this Python, on the path, or where Debian keeps servers."""
    here = str(Path(sys.executable).parent)
    return shutil.which(name, path=os.pathsep.join([here, os.environ.get("PATH", os.defpath), "/usr/sbin"]))


INSTALLED = [name for name in PROXIES if program(name) is not None]


@contextmanager
def running(name: str, upstream_port: int, folder: Path) -> Iterator[int]:
    """Run a proxy in front of the port; give its own once it listens."""
    text, command = PROXIES[name]
    found = program(name)
    assert found is not None
    port = free_port()
    file = folder / f"{name}.conf" if name != "envoy" else folder / "envoy.yaml"
    file.write_text(text.format(folder=folder, port=port, upstream_port=upstream_port))
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(found, file), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        _wait_for(port, process, log)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)  # noqa: TID251 (no event loop runs here)
        else:
            return
    raise AssertionError(f"the proxy on port {port} did not start\n{log.read_text()}")
