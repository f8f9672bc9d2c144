"""The reference pages of the built-in plugins, made from their docstrings and options; `make docs` writes them.

`python -m meshwright.plugin_host.reference docs/plugins` replaces the whole folder. What is wrong in a page is
mended in the plugin's class or in the description of its option.
"""

from __future__ import annotations

import inspect
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

from meshwright.plugin_host.info import PluginInfo
from meshwright.plugin_host.options_table import OptionRow, option_rows
from meshwright.plugin_host.registry import Registry

FOLDERS = {
    "filter": "filters",
    "router": "routers",
    "balancer": "balancers",
    "policy": "policies",
    "discovery": "discovery",
    "store": "stores",
    "config_source": "config_sources",
}
TITLES = {
    "filter": ("Filters", "decide about a request on its way in and about the response on its way out"),
    "router": ("Routers", "find the route of a request; one for the whole gateway, `router:` in the YAML"),
    "balancer": ("Balancers", "choose an endpoint for each request; one for each service, `balancer:`"),
    "policy": ("Policies", "take endpoints of a service out, bring them back and weigh them, `policies:`"),
    "discovery": ("Discovery", "finds the endpoints of a service, `discovery:`"),
    "store": ("Stores", "keep what filters share; one for the whole gateway, `store:`"),
    "config_source": ("Configuration sources", "bring the YAML itself"),
}
_ONE = {
    **{kind: title.removesuffix("s") for kind, (title, _) in TITLES.items()},
    "policy": "Policy",
}
"""What one of them is called."""
_MADE = "<!-- Made by `make docs` from the plugin's class and options: change it there. -->\n\n"
_INTRODUCTION = f"""{_MADE}# Built-in plugins

Each is used by its name, or by its name and options: `request_id`, or `request_id: {{trust: true}}`.
`meshwright plugins NAME` shows the same as these pages, for installed plugins and your own too.
"""


def pages() -> dict[str, str]:
    """Return the text of every page by its path below the folder; raises ConfigError for a broken plugin."""
    built_in = [info for info in Registry.load().all() if info.origin == "built in"]
    texts = {f"{FOLDERS[info.kind]}/{info.name}.md": _page(info) for info in built_in}
    return {"README.md": _index(built_in), **texts}


def write(folder: Path) -> None:
    """Write the pages in place of whatever is in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in pages().items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def _index(infos: list[PluginInfo]) -> str:
    parts = [_INTRODUCTION]
    for kind, (title, what) in TITLES.items():
        lines = [
            f"| [`{info.name}`]({FOLDERS[kind]}/{info.name}.md) | {_prose(info.summary)} |"
            for info in infos
            if info.kind == kind
        ]
        parts.append(
            f"\n## {title}\n\n{title} {what}.\n\n| name | what it does |\n|---|---|\n" + "\n".join(lines) + "\n"
        )
    return "".join(parts)


def _page(info: PluginInfo) -> str:
    text, _, example = inspect.cleandoc(info.target.__doc__ or "").partition("\nExample:\n")
    parts = [f"{_MADE}# `{info.name}`\n", f"{_ONE[info.kind]}. {text.strip()}\n"]
    if example:
        parts.append(f"## Example\n\n```yaml\n{dedent(example).strip()}\n```\n")
    rows = list(option_rows(info.options)) if info.options else []
    parts.append("\n".join(["## Options\n", *_table(rows)]) + "\n" if rows else "It takes no options.\n")
    return "\n".join(parts)


def _table(rows: list[OptionRow]) -> Iterator[str]:
    yield "| option | type | default | what it is |"
    yield "|---|---|---|---|"
    for row in rows:
        default = row.default if row.default in ("", "required") else f"`{_cell(row.default)}`"
        such_as = f" Such as `{_cell(row.example)}`." if row.example else ""
        yield f"| `{row.name}` | {_cell(row.type)} | {default} | {_prose(row.description)}{such_as} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """Return a text in which a star is one, outside of code."""
    parts = _cell(text).split("`")
    return "`".join(part if index % 2 else part.replace("*", "\\*") for index, part in enumerate(parts))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
