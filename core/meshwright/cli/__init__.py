"""The command `meshwright`: its group and where the commands are; what a command does is in its module.

The modules of commands import the rest of the program inside their functions, so that `--help` is there at once.
"""

from __future__ import annotations

import click

from meshwright.cli.check import check
from meshwright.cli.commands import Commands
from meshwright.cli.demo import demo
from meshwright.cli.explain import explain
from meshwright.cli.new import new
from meshwright.cli.plugins import plugins
from meshwright.cli.run import run
from meshwright.cli.schema import schema


@click.group(
    cls=Commands,
    name="meshwright",
    commands=[run, check, explain, plugins, schema, new, demo],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
    Try it without a file of your own:
        meshwright demo
    \b
    The first steps with one:
        meshwright check gateway.yaml
        meshwright explain gateway.yaml GET http://shop.example.com/orders/7
        meshwright run gateway.yaml
    \b
    Exit codes: 0 all is well, 1 something is wrong, 2 wrong usage.
    """,
)
@click.option("--traceback", is_flag=True, help="Show the whole traceback of an error.")
@click.version_option(package_name="meshwright", prog_name="meshwright")
def main(*, traceback: bool) -> None:
    """A programmable API gateway: one YAML file, and plugins that decide everything about the traffic."""
