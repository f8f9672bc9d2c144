"""nginx twice: the backend behind every contender, and a contender for reference."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.contenders import Place
from benchmarks.scenario import Scenario
from benchmarks.servers import program

# Without a master there is one process, which keeps the rights of the caller and ends with its signal.
# Temporary paths lie in the folder of the run, because those of the distribution may not be writable.
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/{name}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 2000000000;
    keepalive_timeout 300s;
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    {http}
}}
"""

PROXY = """
    upstream backend {{
        server 127.0.0.1:{upstream_port};
        keepalive 256;
        keepalive_requests 2000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
"""


def backend(scenario: Scenario, *, port: int, folder: Path) -> list[str]:
    """Write the backend's configuration and give the command that serves it."""
    answer = f'return 200 "{scenario.body}";'
    server = f"server {{ listen 127.0.0.1:{port}; location {scenario.path} {{ {answer} }} }}"
    return _command("backend", server, folder)


class Nginx:
    """A proxy in C whose rules are fixed: about the most that one core can do."""

    name = "nginx"

    def command(self, place: Place) -> list[str]:
        return _command(self.name, PROXY.format(upstream_port=place.upstream_port, port=place.port), place.folder)

    def version(self) -> str:
        said = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True, check=True)
        return said.stderr.rpartition("/")[2].split()[0]


def _command(name: str, http: str, folder: Path) -> list[str]:
    file = folder / f"{name}.conf"
    file.write_text(CONFIGURATION.format(name=name, folder=folder, http=http), "utf-8")
    return [program("nginx"), "-p", str(folder), "-c", str(file), "-e", "stderr"]
