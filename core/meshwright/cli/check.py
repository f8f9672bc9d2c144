"""`meshwright check`: is the YAML right; what is right is decided by the configuration and the plugins."""

from __future__ import annotations

from pathlib import Path

import click

from meshwright.cli.files import FILE, built


@click.command(
    epilog="""\b
    Example:
        meshwright check gateway.yaml && systemctl reload meshwright
    """
)
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Check FILE and everything it names, and tell every problem.

    Builds the whole gateway as `run` would — plugins imported, options checked, filters made, discovery asked
    once — but binds no address and sends no request. Exit code 0 when all is right, 1 with every problem otherwise.
    A warning, such as of a route that no request can reach, is no problem.
    """
    import asyncio

    click.echo(f"{click.style('ok', fg='green', bold=True)}: {asyncio.run(_summary(file))}")


async def _summary(file: Path) -> str:
    from meshwright.traffic.checked import warnings_of

    async with built(file) as snapshot:
        config = snapshot.config.config
        for warning in warnings_of(snapshot.config, snapshot.registry):
            click.echo(f"{click.style('warning', fg='yellow', bold=True)}: {warning}", err=True)
        counts = (
            (len(config.listeners), "listener"),
            (len(snapshot.routes), "route"),
            (len(snapshot.services), "service"),
        )
        return f"{file}: " + ", ".join(f"{count} {noun}{'s' if count != 1 else ''}" for count, noun in counts)
