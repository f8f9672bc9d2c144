"""Meshwright as a contender: started as an operator starts it, with one worker and one route."""

from __future__ import annotations

from importlib import metadata

from benchmarks.contenders import Place
from benchmarks.servers import free_port, program

CONFIGURATION = """
listeners:
  - {{name: web, bind: "127.0.0.1:{port}"}}
admin: {{bind: "127.0.0.1:{admin_port}"}}
routes:
  - {{name: all, match: {{path: "/*"}}, to: backend}}
services:
  backend: {{endpoints: ["http://127.0.0.1:{upstream_port}"]}}
"""


class Meshwright:
    """This project."""

    name = "meshwright"

    def command(self, place: Place) -> list[str]:
        file = place.folder / "gateway.yaml"
        text = CONFIGURATION.format(port=place.port, admin_port=free_port(), upstream_port=place.upstream_port)
        file.write_text(text, "utf-8")
        return [program("meshwright"), "run", str(file)]

    def version(self) -> str:
        return metadata.version("meshwright")
