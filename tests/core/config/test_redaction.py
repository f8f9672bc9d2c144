from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field, field_validator, model_validator

from meshwright_sdk import Options, Secret
from tests.core.config.samples import load, loaded, options_from


def test_defaults_are_filled_in_and_nothing_is_left_open() -> None:
    shown = loaded(
        "routes: [{to: a, filters: [rate_limit: {rate: 5/s}]}]\nservices: {a: {endpoints: ['http://a']}}"
    ).redacted()

    assert [(each["name"], each["bind"]) for each in shown["listeners"]] == [("web", "127.0.0.1:8080")]
    assert shown["routes"][0]["name"] == "route-0"
    assert shown["routes"][0]["filters"] == [{"rate_limit": {"rate": "5/s", "burst": 10, "key": "client"}}]
    assert shown["services"]["a"]["connect_timeout"] == "5s"
    assert shown["services"]["a"]["endpoints"][0]["url"] == "http://a"
    assert json.loads(json.dumps(shown)) == shown


def test_what_is_shown_can_be_read_again() -> None:
    once = loaded("""
        filters: [request_id, {respond: {json: {a: 1}}}]
        routes: [{to: [{service: a}, b], match: {host: x.com, headers: {h: "1"}}}]
        services: {a: {app: "a:b"}, b: {discovery: {consul: {service: b}}}}
        """).redacted()

    assert loaded(json.dumps(once)).redacted() == once


def test_secrets_are_stars_and_references_are_shown_as_written(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("filesecret\n")
    shown = loaded(
        """
        admin: {token: hunter2}
        store: {redis: {url: "redis://user:hunter3@${REDIS}/0"}}
        filters:
          - jwt: {issuer: "${ISSUER:-there}", secret: "${file:key}"}
          - jwt: {issuer: x, secret: "${NONE:-hunter4}"}
          - rate_limit:
              rate: ${RATE}
              burst: ${BURST}
        routes:
          - match: {host: "${HOST}", methods: ["${METHOD}"]}
            to: ${SERVICE}
        services:
          a: {endpoints: ["http://${REDIS}"]}
        """,
        tmp_path,
        REDIS="redishost",
        ISSUER="issuervalue",
        RATE="7/s",
        BURST="1234",
        HOST="hostvalue",
        METHOD="GET",
        SERVICE="a",
    ).redacted()

    assert shown["admin"]["token"] == "***"
    assert shown["store"] == {"redis": {"url": "redis://***@${REDIS}/0"}}
    assert shown["filters"] == [
        {"jwt": {"issuer": "${ISSUER:-there}", "secret": "${file:key}"}},
        {"jwt": {"issuer": "x", "secret": "${NONE:-***}"}},
        {"rate_limit": {"rate": "${RATE}", "burst": "${BURST}", "key": "client"}},
    ]
    assert shown["routes"][0]["match"]["host"] == "${HOST}"
    assert shown["routes"][0]["match"]["methods"] == ["${METHOD}"]
    assert shown["routes"][0]["to"] == "${SERVICE}"
    assert shown["services"]["a"]["endpoints"][0] == "http://${REDIS}"
    text = json.dumps(shown)
    for hidden in ("hunter", "filesecret", "redishost", "issuervalue", "1234", "hostvalue"):
        assert hidden not in text


def test_what_is_told_of_an_entry_shows_nothing_that_a_reference_gave(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("filesecret")
    shown = loaded(
        """
        routes:
          - match: {headers: {a: "${KEY}", b: "x ${file:key}"}, host: "${HOST}"}
            to: s
          - {to: s}
        services: {s: {endpoints: [{url: "http://h", zone: "${ZONE}"}]}}
        """,
        tmp_path,
        KEY="it's",
        HOST="Tenant",
        ZONE="b",
    )

    hide = shown.hiding("routes")
    assert hide(0, "a=it's, b=x filesecret, host tenant") == "a=${KEY}, b=x ${file:key}, host ${HOST}"
    assert hide(0, "filesecret") == "${file:key}"
    assert hide(1, "it's") == "it's"
    assert shown.hiding("services")("s", "b") == "${ZONE}"
    assert shown.hiding("services")("unknown", "b") == "b"


def test_a_default_hides_nothing_for_it_stands_in_the_text() -> None:
    shown = loaded("routes: [{match: {headers: {a: 'x ${KEY:-plain}'}}, to: s}]\nservices: {s: {app: 'a:b'}}")

    assert shown.hiding("routes")(0, "plain") == "plain"


def test_a_later_problem_shows_no_part_of_a_reference() -> None:
    shown = loaded("services: {s: {app: '${MODULE}.api:app'}}", MODULE="hiddenshop")

    problem = shown.problem(("services", "s"), "hiddenshop.api to import", "No module named 'hiddenshop'")

    assert str(problem) == (
        "gateway.yaml:1: services.s: expected ${MODULE}.api to import; got No module named '${MODULE}'"
    )


def test_a_literal_that_equals_a_referenced_value_stays_as_it_was_written() -> None:
    shown = loaded(
        "filters: [respond: {headers: {a: '${A}', b: '5s'}}]\nservices: {s: {app: 'a:b'}}", A="5s"
    ).redacted()

    assert shown["filters"][0]["respond"]["headers"] == {"a": "${A}", "b": "5s"}
    assert shown["services"]["s"]["connect_timeout"] == "5s"


class Made(Options):
    """Puts its options together to what it shows."""

    user: str
    password: Secret = Field(description="x")
    host: str
    url: str = ""

    @field_validator("host")
    @classmethod
    def _upper(cls, host: str) -> str:
        return f"//{host}"

    @model_validator(mode="before")
    @classmethod
    def _join(cls, data: dict[str, str]) -> dict[str, str]:
        return {**data, "url": f"http://{data['user']}:{data['password']}@{data['host']}/{data['password']}"}


class Odd(Options):
    """Holds what JSON has no form for."""

    value: object = Field(default_factory=object)


OPTIONS: dict[str, type[BaseModel]] = {"made": Made, "odd": Odd}


def test_what_a_validator_puts_together_shows_nothing_either() -> None:
    options_of = options_from({"filter": OPTIONS, "router": {"table": None}, "store": {"memory": None}})
    text = "filters: [{made: {user: '${U}', password: hunter2, host: '${H}'}}, odd]"

    shown = load(text, "g.yaml", environ={"U": "username", "H": "hostname"}, options_of=options_of).redacted()

    assert shown["filters"][0] == {
        "made": {"user": "${U}", "password": "***", "host": "${H}", "url": "http://***@${H}/***"}
    }
    assert shown["filters"][1] == {"odd": {"value": "<object>"}}
