"""`meshwright explain`: what would become of a request; finding it out goes elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meshwright.cli.files import FILE, built

if TYPE_CHECKING:
    from meshwright.traffic.explain import Explanation, FilterStep, ServiceChoice


class HeaderType(click.ParamType[tuple[str, str]]):
    """A header as curl takes it: name and value with a colon between."""

    name = "header"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, colon, text = str(value).partition(":")
        if not colon or not name.strip():
            self.fail(f"expected name:value; got {value!r}", param, ctx)
        return name.strip(), text.strip()


@click.command(
    epilog="""\b
    Examples:
        meshwright explain gateway.yaml GET /orders/7
        meshwright explain gateway.yaml POST https://shop.example.com/checkout -H 'x-beta: 1'
        meshwright explain gateway.yaml GET /orders --json | jq .route
    """
)
@click.argument("file", type=FILE)
@click.argument("method")
@click.argument("url")
@click.option(
    "-H",
    "--header",
    "headers",
    type=HeaderType(),
    multiple=True,
    metavar="NAME:VALUE",
    help="A header; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def explain(
    ctx: click.Context, file: Path, method: str, url: str, *, headers: tuple[tuple[str, str], ...], as_json: bool
) -> None:
    """Tell which route of FILE takes a request, and why; its filters, its service, its endpoint.

    URL is absolute, or a path alone. Nothing is sent, and no filter runs: what one would change or answer itself
    is not seen. Exit code 0 when a route takes the request, 1 when none does or the gateway would refuse it.
    """
    import asyncio
    import json

    explanation = asyncio.run(_explain(file, method, url, headers))
    if as_json:
        click.echo(json.dumps(explanation.to_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(explanation)))
    ctx.exit(0 if explanation.route is not None else 1)


async def _explain(file: Path, method: str, url: str, headers: tuple[tuple[str, str], ...]) -> Explanation:
    from meshwright.traffic.explain import explain as explain_request

    async with built(file) as snapshot:
        return explain_request(snapshot, method, url, headers)


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"{explanation.method} {explanation.url}"
    yield _heading("Routes, most specific first")
    width = max((len(verdict.route) for verdict in explanation.verdicts), default=0)
    for verdict in explanation.verdicts:
        yield _marked(verdict.chosen, f"{verdict.route:{width}}  {verdict.reason}")
    yield from (f"    {{{name}}} = {value}" for name, value in explanation.path_params.items())
    yield from _filters(explanation)
    for service in explanation.services:
        yield from _service(service)
    if explanation.route is None:
        yield click.style("No route takes it: the answer would be 404, code no_route.", fg="yellow")
    elif not explanation.services:
        yield "No service: one of the filters has to answer."


def _filters(explanation: Explanation) -> Iterator[str]:
    yield _heading("Filters, outermost first")
    yield from _steps(explanation.filters)
    if not explanation.filters:
        yield "  none"


def _steps(steps: Sequence[FilterStep]) -> Iterator[str]:
    import json

    for number, step in enumerate(steps, 1):
        options = f" {json.dumps(step.options, ensure_ascii=False)}" if step.options else ""
        yield f"  {number}. {step.name}{options}  ({step.scope})"


def _service(service: ServiceChoice) -> Iterator[str]:
    balancer = f", balancer {service.balancer}" if service.balancer else ", an application in the gateway"
    share = f", {service.share:.1%} of the requests" if service.share < 1 else ""
    yield _heading(f"Service {service.name}{share}{balancer}", strong=service.chosen)
    yield from _steps(service.filters)
    width = max((len(endpoint.url) for endpoint in service.endpoints), default=0)
    for endpoint in service.endpoints:
        zone = f", zone {endpoint.zone}" if endpoint.zone else ""
        ejected = "".join(f", out by {name}: {reason}" for name, reason in endpoint.ejected.items())
        line = f"{endpoint.url:{width}}  weight {endpoint.weight}{zone}{ejected}"
        yield _marked(service.chosen and endpoint.picked, line)
    if service.balancer and not service.endpoints:
        yield click.style("  No endpoint: the answer would be 503, code no_endpoints.", fg="yellow")


def _heading(text: str, *, strong: bool = True) -> str:
    return click.style(text, bold=strong)


def _marked(chosen: bool, text: str) -> str:
    """Return a line of a list, the chosen one with a star."""
    return click.style(f"  * {text}", fg="green") if chosen else f"    {text}"
