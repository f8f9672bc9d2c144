"""Plugins' options as the tests of this folder use them, and the shortest ways to read a configuration with them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveInt, field_validator, model_validator

from meshwright.config import Kind, LoadedConfig, UnknownPluginError, read_document, validate
from meshwright.config.plugin_use import OptionsOf
from meshwright_sdk import ConfigError, Duration, Options, Percent, Rate, Secret, Size


class RateLimit(Options):
    rate: Rate = Field(description="Requests that each key may keep up for ever.")
    burst: PositiveInt = Field(10, description="Requests a key may send at once.")
    key: str = Field("client", description="What is counted.")


class Jwt(Options):
    issuer: str = Field(description="Who made the token.")
    audience: str | None = Field(None, description="Whom it is for.")
    secret: Secret | None = Field(None, description="Key it is signed with.")


class Retry(Options):
    attempts: int = Field(2, ge=1, le=10, description="Attempts in all.")
    on: tuple[str, ...] = Field((), description="What is tried again.")


class Respond(Options):
    status: int = Field(200, description="Status.")
    headers: dict[str, str] = Field({}, description="Headers.")
    body: Any = Field(None, alias="json", description="Body.")


class Fallback(Options):
    respond: Respond = Field(description="The answer.")


class Many(Options):
    """Every sort of field that a plugin may have."""

    wait: Duration = Duration("1s")
    size: Size = Size("1KiB")
    share: Percent = Percent("5%")
    mode: Literal["fast", "slow"] = "fast"
    count: int | Literal["auto"] = "auto"
    answer: str | Respond = "ok"
    zones: tuple[str, ...] = ()
    on: bool = False
    factor: float = Field(1.0, gt=0)
    code: str = ""
    low: int = 0
    high: int = 10

    @field_validator("code")
    @classmethod
    def _is_known(cls, code: str) -> str:
        if code.startswith("x"):
            raise ValueError(f"code {code} is not in the table")
        return code

    @model_validator(mode="after")
    def _in_order(self) -> Many:
        if self.low > self.high:
            raise ValueError(f"expected low below high; got {self.low} and {self.high}")
        return self


class Redis(Options):
    url: str = Field(description="Address of the server.")


class Consul(Options):
    service: str = Field(description="Name in Consul.")


OPTIONS: Mapping[Kind, Mapping[str, type[BaseModel] | None]] = {
    "filter": {
        "request_id": None,
        "jwt": Jwt,
        "rate_limit": RateLimit,
        "retry": Retry,
        "fallback": Fallback,
        "respond": Respond,
        "many": Many,
    },
    "router": {"table": None},
    "balancer": {"weighted_round_robin": None, "least_connections": None},
    "discovery": {"consul": Consul},
    "store": {"memory": None, "redis": Redis},
}

SHOP = """
listeners:
  - {name: web, bind: "0.0.0.0:8080"}
  - {name: secure, bind: "0.0.0.0:8443", tls: {certificate: shop.pem, key: shop.key}}
admin: {bind: "127.0.0.1:9901"}
plugins: [./filters/tenant.py]
store: {redis: {url: "redis://localhost:6379/0"}}        # memory when left out

filters:                                                 # on every route, outermost first
  - request_id: {}
  - jwt: {issuer: "https://id.example.com", audience: shop}

routes:
  - name: orders
    match: {host: shop.example.com, path: "/orders/*", methods: [GET, POST]}
    filters:
      - rate_limit: {rate: 100/s, burst: 20, key: "claim:sub"}
      - retry: {attempts: 3, on: [connect, "502", "503"]}
      - fallback: {respond: {status: 200, json: {orders: []}}}
    to: orders
  - name: checkout
    match: {path: "/checkout", headers: {x-beta: "1"}}
    to: checkout-v2
  - name: checkout-split
    match: {path: "/checkout"}
    to:
      - {service: checkout-v1, weight: 90}
      - {service: checkout-v2, weight: 10}

services:
  orders:
    discovery: {consul: {service: orders}}
    balancer: least_connections
  checkout-v1: {endpoints: ["http://10.0.0.1:8000"]}
  checkout-v2: {endpoints: [{url: "http://10.0.0.2:8000", weight: 2, zone: b, labels: {version: v2}}]}
"""


def options_from(options: Mapping[Kind, Mapping[str, type[BaseModel] | None]]) -> OptionsOf:
    """Return the answers that a table of options models by kind and name gives."""

    def options_of(kind: Kind, name: str) -> type[BaseModel] | None:
        known = options.get(kind, {})
        if name not in known:
            raise UnknownPluginError(kind, name, tuple(known))
        return known[name]

    return options_of


def load(
    text: str, file: str, *, environ: Mapping[str, str], options_of: OptionsOf, folder: Path | None = None
) -> LoadedConfig:
    return validate(read_document(text, file, environ=environ, folder=folder), options_of)


def loaded(text: str, folder: Path | None = None, **environ: str) -> LoadedConfig:
    dedented = textwrap.dedent(text).lstrip("\n")
    return load(dedented, "gateway.yaml", environ=environ, options_of=options_from(OPTIONS), folder=folder)


def problems(text: str, folder: Path | None = None, **environ: str) -> list[str]:
    """Read what is wrong; return the problems as they are shown, without the file's name."""
    try:
        loaded(text, folder, **environ)
    except ConfigError as error:
        return [str(problem).removeprefix("gateway.yaml:").strip() for problem in error.problems]
    return []
