"""nginx twice: the backend behind every contender, and a contender for reference."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders.contender import Place
from benchmarks.scenario import RECEIVED_HEADER, REQUEST_HEADER, RESPONSE_HEADER, Scenario
from benchmarks.servers import program

# Without a master there is one process, which keeps the rights of the caller and ends with its signal.
# Temporary paths lie in the folder of the run, because those of the distribution may not be writable.
CONFIGURATION = """
daemon off;
{processes}
pid {folder}/{name}.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
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
        keepalive 1024;
        keepalive_requests 2000000000;
    }}
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            {directives}
        }}
    }}
"""

CLOSE_NOTHING = 'proxy_set_header Connection "";'
DIRECTIVES = {
    None: CLOSE_NOTHING,
    "websocket": "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;",
    "events": f"{CLOSE_NOTHING} proxy_buffering off;",
}


def backend(scenario: Scenario, *, port: int, folder: Path, processes: int = 1) -> list[str]:
    """Write the backend's configuration and give the command that serves it."""
    server = f"server {{ listen 127.0.0.1:{port}{' reuseport' if processes > 1 else ''}; {_answer(scenario, folder)} }}"
    return _command(f"backend-{port}", server, folder, processes)


def _answer(scenario: Scenario, folder: Path) -> str:
    if scenario.upload_bytes:
        return _answer_after_reading(scenario, folder)
    if scenario.answer_bytes > 4000:  # the longest text that a configuration may hold
        (folder / "answer").write_bytes(scenario.answer)
        return f"location / {{ root {folder}; try_files /answer =404; }}"
    seen = f"add_header x-seen $http_{REQUEST_HEADER[0].replace('-', '_')};" if scenario.filtered else ""
    return f'location / {{ {seen} return 200 "{scenario.answer.decode()}"; }}'


def _answer_after_reading(scenario: Scenario, folder: Path) -> str:
    """Have the whole body read before the answer: `return` alone would answer first, and drop what comes.

    Mirroring reads the body; then the static file refuses the POST, and the refusal becomes the answer.
    """
    (folder / "answer").write_bytes(scenario.answer)
    return f"""
        client_body_buffer_size {scenario.upload_bytes + 1024};
        location / {{ root {folder}; mirror /sink; mirror_request_body on; try_files /answer =404;
                      error_page 405 =200 @answer; }}
        location @answer {{ add_header {RECEIVED_HEADER} $request_length;
                            return 200 "{scenario.answer.decode()}"; }}
        location = /sink {{ internal; return 204; }}
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """A proxy in C whose rules are fixed: about the most that one core can do."""

    @property
    def name(self) -> str:
        return "nginx"

    def command(self, place: Place) -> list[str]:
        scenario, file = place.scenario, place.certificate
        directives = DIRECTIVES[scenario.streams]
        if scenario.filtered:
            directives += f" proxy_set_header {' '.join(REQUEST_HEADER)}; add_header {' '.join(RESPONSE_HEADER)};"
        text = PROXY.format(
            upstream_port=place.upstream_port,
            port=place.port,
            tls=f" ssl; ssl_certificate {file}; ssl_certificate_key {file}" if scenario.tls else "",
            directives=directives,
        )
        return _command(f"nginx-{place.port}", text, place.folder)

    def version(self) -> str:
        said = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True, check=True)
        return said.stderr.rpartition("/")[2].split()[0]


def _command(name: str, http: str, folder: Path, processes: int = 1) -> list[str]:
    file = folder / f"{name}.conf"
    how = "master_process off;" if processes == 1 else f"worker_processes {processes};"
    file.write_text(CONFIGURATION.format(name=name, folder=folder, http=http, processes=how), "utf-8")
    return [program("nginx"), "-p", str(folder), "-c", str(file), "-e", "stderr"]
