"""What there is to try in the demo; a plugin of it that writes this when the gateway has started."""

from __future__ import annotations

import os
import shutil
import sys

import click

from meshwright_sdk import hookimpl

TRIALS = (
    ("A template route, and a filter of its own that stamps both ways (filters.py)", "curl -i {web}/orders/7"),
    ("A header decides: the next version, which runs inside the gateway", "curl -H 'x-canary: 1' {web}/orders/7"),
    (
        "Weights 2 and 1: instance 1 pays twice as often",
        "for each in 1 2 3 4 5 6; do curl -s {web}/payments; echo; done",
    ),
    (
        "One service calls two others through the gateway",
        "curl -X POST {web}/orders -H 'content-type: application/json' -d '{{\"item\": \"tea\"}}'",
    ),
    ("A rewritten path; events arrive one by one", "curl -N {web}/track/7"),
    ("No route: a problem document with a code", "curl -i {web}/nothing"),
    ("Which route, and why; nothing is sent", "{meshwright} explain {folder}/gateway.yaml GET /orders/7 -H x-canary:1"),
    ("The services, their endpoints and connections", "curl {admin}/api/services"),
    ("The metrics", "curl {admin}/metrics"),
)


@hookimpl
def meshwright_started() -> None:
    """Write the guide."""
    click.echo(guide())


def guide() -> str:
    """Return what to try, with this demo's addresses."""
    names = {
        "web": f"http://127.0.0.1:{os.environ['WEB_PORT']}",
        "admin": f"http://127.0.0.1:{os.environ['ADMIN_PORT']}",
        "folder": os.environ["DEMO_FOLDER"],
        "meshwright": "meshwright" if shutil.which("meshwright") else f"{sys.executable} -m meshwright",
    }
    tried = "\n\n".join(f"  {click.style(what, bold=True)}\n    {how.format(**names)}" for what, how in TRIALS)
    return (
        f"\n{click.style('The shop is open.', bold=True, fg='green')} Try, in another terminal:\n\n{tried}\n\n"
        f"Change {names['folder']}/gateway.yaml or filters.py beside it: the gateway reads them again.\n"
        "Ctrl-C closes the shop.\n"
    )
