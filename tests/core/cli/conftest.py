"""The command line, called in this process in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

from meshwright.cli import main

GATEWAY = """
    listeners: [{name: web, bind: "127.0.0.1:0"}]
    admin: {bind: "127.0.0.1:0"}
    filters: [request_id]
    routes:
      - name: order
        match: {path: "/orders/{id}", methods: [GET]}
        filters: [{headers: {response: {set: {x-shop: tea}}}}]
        to: [{service: stable, weight: 90}, {service: canary, weight: 10}]
      - name: hello
        match: {host: hello.example.com}
        filters: [{respond: {text: hi}}]
    services:
      stable: {endpoints: [{url: "http://127.0.0.1:1", weight: 2, zone: b}, "http://127.0.0.1:2"]}
      canary: {endpoints: ["http://127.0.0.1:3"]}
    """

Call = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def gateway(folder: Path) -> Path:
    file = folder / "gateway.yaml"
    file.write_text(dedent(GATEWAY), "utf-8")
    return file


@pytest.fixture
def call(folder: Path) -> Call:
    def call(*arguments: str, color: bool = False, **env: str) -> Result:
        return CliRunner().invoke(main, arguments, color=color, env=env)

    return call
