"""`meshwright run`: start the gateway; how its processes work together is the supervisor's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from meshwright.cli.files import FILE

LEVELS = ("debug", "info", "warning", "error")


class DurationType(click.ParamType[float]):
    """A duration with its unit, as in the YAML; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from meshwright_sdk import Duration

        try:
            return float(Duration(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog="""\b
    Examples:
        meshwright run gateway.yaml
        meshwright run gateway.yaml --workers 4 --grace 10s
    \b
    While it runs:
        kill -HUP PID     read the file again, as a change of it does by itself
        kill -TERM PID    take no new connections, let running requests end, exit
    """
)
@click.argument("file", type=FILE)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that carry traffic."
)
@click.option(
    "--grace",
    type=DurationType(),
    default="30s",
    show_default=True,
    metavar="DURATION",
    help="How long running requests may take to end when the gateway stops.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Least level logged.")
@click.pass_context
def run(ctx: click.Context, file: Path, *, workers: int, grace: float, log_level: str) -> None:
    """Run the gateway that FILE describes, until SIGTERM or Ctrl-C.

    FILE is read again when it, or a plugin file it names, changes. A new version that is wrong is told of in the
    log and at the admin API, and the one before goes on.
    """
    from meshwright.processes.collector import collector

    with collector.away():  # 6 % of a start were spent on looking for garbage in what is imported for good
        from meshwright.processes.logs import configure_logging
        from meshwright.processes.supervisor import run as run_gateway

    configure_logging(log_level.upper())
    ctx.exit(run_gateway(file, workers=workers, grace_s=grace))
