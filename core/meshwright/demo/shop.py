"""`run_demo`: the shop's services as processes of their own, and a gateway in front of them in this one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import click

from meshwright.processes.logs import configure_logging
from meshwright.processes.supervisor import run

WEB_PORT = 8080
ADMIN_PORT = 9901
_STOP_S = 5.0
_FILES = ("gateway.yaml", "filters.py")
_SERVICES = (
    ("ORDER_URL", ("order",)),
    ("PAYMENT_1_URL", ("payment", "1")),
    ("PAYMENT_2_URL", ("payment", "2")),
    ("LOGISTICS_URL", ("logistics",)),
)


def run_demo(port: int | None) -> int:
    """Run the demo until SIGTERM or Ctrl-C and return the exit code; nothing of it is left then.

    Without a `port` it takes 8080, or a free one where that is taken; with port 0 the admin API's is any free one too.
    """
    configure_logging("WARNING")
    with ExitStack() as stack, ExitStack() as held:
        web = hold_port(WEB_PORT, held) if port is None else port or hold_port(0, held)
        if port is None and web != WEB_PORT:
            click.echo(f"Port {WEB_PORT} is taken; the gateway takes {web}.")
        admin = hold_port(0 if port == 0 else ADMIN_PORT, held)
        ports = {"WEB_PORT": str(web), "ADMIN_PORT": str(admin)}
        os.environ.update(ports, GATEWAY_URL=f"http://127.0.0.1:{web}")
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="meshwright-demo-")))
        os.environ["DEMO_FOLDER"] = str(folder)
        _copy_files(folder, ports | stack.enter_context(_services()))
        held.close()
        return run(folder / "gateway.yaml", workers=1, grace_s=1.0)


def _copy_files(folder: Path, addresses: Mapping[str, str]) -> None:
    """Put the files where they may be changed, with addresses filled in, so that any terminal can use them."""
    for name in _FILES:
        text = Path(__file__).with_name(name).read_text("utf-8")
        (folder / name).write_text(Template(text).substitute(addresses), "utf-8")


def hold_port(wanted: int, held: ExitStack) -> int:
    """Return `wanted` if nobody has it, else a port that is free; until `held` is closed nobody else can take it."""
    holder = held.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", wanted))
    except OSError:
        holder.bind(("127.0.0.1", 0))
    holder.listen()  # or another demo would share it
    port: int = holder.getsockname()[1]
    return port


@contextmanager
def _services() -> Iterator[dict[str, str]]:
    """Start the services side by side; give their URLs by the name that the YAML has for them."""
    processes: list[subprocess.Popen[str]] = []
    try:
        processes.extend(_start(arguments) for _, arguments in _SERVICES)
        yield {name: _url(process) for (name, _), process in zip(_SERVICES, processes, strict=True)}
    finally:
        _stop(processes)


def _start(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start one service, out of reach of the terminal's Ctrl-C: it ends when its input does."""
    return subprocess.Popen(
        [sys.executable, "-m", "meshwright.demo.services", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise OSError(f"the service {process.args!r} ended before it served; its own message is above")
    return f"http://127.0.0.1:{line}"


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
