"""What commands make of the YAML they are given: its plugins, its snapshot; telling of it goes elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meshwright.plugin_host.registry import Registry
    from meshwright.traffic.snapshot import Snapshot

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


def registry_of(file: Path | None) -> Registry:
    """Return every plugin there is, those that `file` names included; the rest of the file need not be right."""
    import os

    from meshwright.config import config_error, located, plugin_entries, problems_in, read_document
    from meshwright.plugin_host.registry import Registry
    from meshwright_sdk import ConfigDocument, ConfigError

    if file is None:
        return Registry.load()
    document = ConfigDocument.from_file(file)
    parsed = read_document(document.text, document.name, environ=os.environ, folder=document.base_dir)
    try:
        return Registry.load(plugin_entries(parsed), document.base_dir)
    except ConfigError as error:
        raise config_error(located(parsed, each) for each in problems_in(error)) from error


@asynccontextmanager
async def built(file: Path) -> AsyncIterator[Snapshot]:
    """Build the snapshot of a file and give it up afterwards; no listener is bound, no request is sent."""
    from meshwright.processes.collector import collector
    from meshwright.traffic.gateway import Gateway
    from meshwright_sdk import ConfigDocument

    gateway = Gateway()
    try:
        with collector.away():
            snapshot = await gateway.prepare(ConfigDocument.from_file(file), 0)
        try:
            yield snapshot
        finally:
            await gateway.discard(snapshot)
    finally:
        await gateway.close()
