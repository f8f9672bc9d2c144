"""`Commands`: the group of all commands — the installed packages' too — and how a failure of one is told."""

from __future__ import annotations

import os
from typing import Any

import click


class Commands(click.Group):
    """Lists its commands in the order given, and turns what they raise into lines on stderr and exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names: our own in the order of use, then the installed ones'."""
        return [*self.commands, *sorted(self._installed())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command; installed packages are only asked for one that is not our own."""
        return self.commands.get(cmd_name) or self._installed().get(cmd_name)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Respect NO_COLOR (https://no-color.org)."""
        if os.environ.get("NO_COLOR"):
            kwargs["color"] = False
        return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raises nothing but what click itself handles, unless `--traceback` asks for it."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # the last one is who reads no further, such as `head`
        except Exception as error:
            if ctx.params.get("traceback"):
                raise
            tell(error)
            ctx.exit(1)

    def _installed(self) -> dict[str, click.Command]:
        """Return the commands of installed packages; a broken package is told of and does not stop the others."""
        from importlib.metadata import entry_points

        if not entry_points(group="meshwright.plugins"):
            return {}
        from meshwright.plugin_host.registry import Registry

        try:
            offers = list(Registry.load().each("meshwright_commands"))
        except Exception as error:
            tell(error)
            return {}
        return {
            command.name: command for _, commands in offers for command in commands if command.name not in self.commands
        }


def tell(error: Exception) -> None:
    """Write to stderr what went wrong: every problem of a configuration in a line of its own."""
    from traceback import extract_tb

    from meshwright_sdk import ConfigError, MeshwrightError

    if isinstance(error, ConfigError):
        for problem in error.problems:
            _tell_line(str(problem))
        count = len(error.problems)
        click.secho(f"{count} problem{'s' if count != 1 else ''}", fg="red", bold=True, err=True)
    elif isinstance(error, MeshwrightError | OSError | ValueError | LookupError):
        _tell_line(str(error))
    else:
        frame = extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
        _tell_line(f"a bug: {what}; `meshwright --traceback COMMAND …` shows all of it")


def _tell_line(line: str) -> None:
    """Write a line with its place, as `gateway.yaml:14: routes[0].name` is one, set apart from the sentence."""
    place, separator, sentence = line.partition(": expected ")
    if separator:
        line = f"{click.style(place, bold=True)}: expected {sentence}"
    click.echo(line, err=True)
