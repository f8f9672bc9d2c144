"""`meshwright demo`: a shop behind a gateway, to try things with; the shop itself is in `meshwright.demo`."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
    Example:
        meshwright demo --port 8000
    """
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port of the gateway; by default 8080, or a free one where that is taken; 0 is any free one.",
)
@click.pass_context
def demo(ctx: click.Context, *, port: int | None) -> None:
    """Run a small shop behind a gateway, and tell what to try with curl; Ctrl-C ends all of it.

    Starts an order, a payment (twice, weights 2 and 1) and a logistics service as processes on free ports, and a
    gateway in front of them with a filter of its own. Needs nothing but this package.
    """
    from meshwright.demo.shop import run_demo

    ctx.exit(run_demo(port))
