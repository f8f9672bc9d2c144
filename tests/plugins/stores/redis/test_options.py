from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.stores.redis.options import Address, RedisOptions, parse_address

SENTINEL = {"addresses": ["s1"], "name": "shop"}


def options(**given: Any) -> RedisOptions:
    return RedisOptions.model_validate(given)


@pytest.mark.parametrize(
    ("url", "server", "number", "credentials", "speaks_tls"),
    [
        ("redis://cache", Address("cache", 6379), 0, (None, None), False),
        ("redis://cache:7000/3", Address("cache", 7000), 3, (None, None), False),
        ("rediss://[::1]:7000/", Address("::1", 7000), 0, (None, None), True),
        ("redis://:p%40ss@cache", Address("cache", 6379), 0, (None, "p@ss"), False),
        ("redis://gate:pass@cache", Address("cache", 6379), 0, ("gate", "pass"), False),
        ("unix:///run/redis%20.sock", Address("/run/redis .sock", 0), 0, (None, None), False),
    ],
)
def test_a_url_says_where_and_how(
    url: str, server: Address, number: int, credentials: tuple[str | None, str | None], speaks_tls: bool
) -> None:
    read = options(url=url)

    assert (read.server, read.number, read.credentials, read.speaks_tls) == (server, number, credentials, speaks_tls)


def test_a_password_of_its_own_takes_the_place_of_the_urls() -> None:
    read = options(url="redis://gate:old@cache", password="new")

    assert read.credentials == ("gate", "new")
    assert "old" not in repr(read)
    assert "new" not in repr(read)


def test_addresses_have_the_usual_ports() -> None:
    sentinel = options(sentinel={**SENTINEL, "addresses": ["s1", "[::1]:7"], "password": "x"}).sentinel
    cluster = options(cluster={"addresses": ["10.0.0.1", "n2:7000"]}).cluster

    assert sentinel is not None
    assert cluster is not None
    assert sentinel.servers == (Address("s1", 26379), Address("::1", 7))
    assert sentinel.credentials == (None, "x")
    assert cluster.servers == (Address("10.0.0.1", 6379), Address("n2", 7000))
    assert [str(parse_address(text)) for text in ("a", "[::1]:7")] == ["a:6379", "[::1]:7"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected one of url, sentinel and cluster; got none"),
        ({"url": "redis://a", "sentinel": SENTINEL}, "expected one of url, sentinel and cluster; got url and sentinel"),
        ({"url": "http://hunter2@a"}, "expected redis://host:port/database, rediss:// or unix:///path; got another"),
        ({"url": "redis://:hunter2@a:port"}, "got a URL whose host or port is none"),
        ({"url": "redis:///0"}, "got another URL"),
        ({"url": "redis://a/shop"}, "got another URL"),
        ({"url": "redis://a?db=1"}, "got another URL"),
        ({"url": "redis://a", "tls": {}}, "expected a url with rediss:// where there is tls; got one without"),
        ({"url": "redis://a", "database": 1}, "expected database with sentinel alone"),
        ({"cluster": {"addresses": ["a:0"]}}, "expected host:port, such as 10.0.0.1:6379 or"),
        ({"cluster": {"addresses": []}}, "at least 1 item"),
        ({"url": "redis://a", "timeout": "0s"}, "expected a timeout above 0s; got 0s"),
        ({"url": "redis://a", "max_backoff": "0s"}, "expected a max_backoff above 0s; got 0s"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        options(**given)

    assert message in str(refused.value.errors()[0]["msg"])
    assert "hunter2" not in refused.value.errors()[0]["msg"]
