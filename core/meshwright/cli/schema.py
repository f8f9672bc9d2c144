"""`meshwright schema`: the JSON Schema of the YAML; what it says is decided by the configuration's models."""

from __future__ import annotations

from pathlib import Path

import click

from meshwright.cli.files import FILE, registry_of


@click.command(
    epilog="""\b
    For editors that use the YAML language server, put this first in the YAML:
        # yaml-language-server: $schema=meshwright.schema.json
    \b
    Example:
        meshwright schema --file gateway.yaml > meshwright.schema.json
    """
)
@click.option("--file", "-f", type=FILE, help="Describe the options of the plugins too that this YAML names.")
def schema(*, file: Path | None) -> None:
    """Write the JSON Schema of the YAML, with the options of every plugin there is."""
    import json

    from meshwright.config.schema import json_schema

    click.echo(json.dumps(json_schema(registry_of(file).options()), indent=2, ensure_ascii=False))
