"""`meshwright plugins`: which plugins there are and what options they take; the pages in docs are made elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshwright.cli.files import FILE, registry_of

if TYPE_CHECKING:
    from meshwright.plugin_host.info import PluginInfo
    from meshwright.plugin_host.options_table import OptionRow
    from meshwright.plugin_host.registry import Registry

_HEADINGS = {
    "filter": "Filters",
    "router": "Routers",
    "balancer": "Balancers",
    "policy": "Policies",
    "discovery": "Discovery",
    "store": "Stores",
    "config_source": "Configuration sources",
}


@click.command(
    epilog="""\b
    Examples:
        meshwright plugins
        meshwright plugins cors
        meshwright plugins --file gateway.yaml
    """
)
@click.argument("name", required=False)
@click.option("--file", "-f", type=FILE, help="Count the plugins in that this YAML names.")
def plugins(name: str | None, *, file: Path | None) -> None:
    """List the plugins, or tell all about the one called NAME: what it does, and its options."""
    registry = registry_of(file)
    for line in _listing(registry) if name is None else _details(registry, name):
        click.echo(line)


def _listing(registry: Registry) -> Iterator[str]:
    infos = registry.all()
    width = max(len(info.name) for info in infos)
    kind = ""
    for info in infos:
        if info.kind != kind:
            yield click.style(f"{chr(10) if kind else ''}{_HEADINGS[info.kind]}", bold=True)
            kind = info.kind
        origin = "" if info.origin == "built in" else f"  ({info.origin})"
        yield f"  {info.name:{width}}  {_summary(info)}{origin}".rstrip()


def _summary(info: PluginInfo) -> str:
    """Return what a plugin says of itself, or why it cannot be imported: the others are listed all the same."""
    from meshwright_sdk import ConfigError

    try:
        return info.summary
    except ConfigError as error:
        return click.style(str(error), fg="red")


def _details(registry: Registry, name: str) -> Iterator[str]:
    found = [info for info in registry.all() if info.name == name]
    if not found:
        from meshwright.config.problems import did_you_mean

        near = did_you_mean(name, [info.name for info in registry.all()])
        raise click.UsageError(f"there is no plugin {name!r}{f', {near}' if near else ''}")
    for number, info in enumerate(found):
        if number:
            yield ""
        yield from _about(info)


def _about(info: PluginInfo) -> Iterator[str]:
    import inspect

    from meshwright.plugin_host.options_table import option_rows

    yield click.style(f"{info.kind.replace('_', ' ')} {info.name}", bold=True) + f"  ({info.origin})"
    yield from (f"  {line}".rstrip() for line in inspect.cleandoc(info.target.__doc__ or "").splitlines())
    rows = list(option_rows(info.options)) if info.options else []
    yield ""
    if not rows:
        yield "  It takes no options."
        return
    yield click.style("  Options", bold=True)
    for row in rows:
        yield from _option(row)


def _option(row: OptionRow) -> Iterator[str]:
    facts = [row.type, row.default if row.default == "required" else row.default and f"default {row.default}"]
    if row.example:
        facts.append(f"such as {row.example}")
    yield f"    {click.style(row.name, fg='cyan')}: {', '.join(filter(None, facts))}"
    yield from textwrap.wrap(row.description, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
