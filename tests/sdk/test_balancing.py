from __future__ import annotations

import re

import pytest

from meshwright_sdk import Endpoint, Instance, Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://a.test", Origin("http", "a.test", 80), "a.test"),
        ("http://a.test/", Origin("http", "a.test", 80), "a.test"),
        ("https://A.test", Origin("https", "a.test", 443), "a.test"),
        ("http://10.0.0.1:8000", Origin("http", "10.0.0.1", 8000), "10.0.0.1:8000"),
        ("http://a.test:443", Origin("http", "a.test", 443), "a.test:443"),
        ("https://a.test:443", Origin("https", "a.test", 443), "a.test"),
        ("http://[fd00::1]:81", Origin("http", "fd00::1", 81), "[fd00::1]:81"),
        ("https://[::1]", Origin("https", "::1", 443), "[::1]"),
        ("unix:/run/a.sock", Origin("http", "localhost", 80, "/run/a.sock"), "localhost"),
    ],
)
def test_an_origin_is_what_a_connection_needs(url: str, origin: Origin, authority: str) -> None:
    assert parse_origin(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "", "a.test", "a.test:80", "ftp://a.test", "http://", "http://:80", "http://a.test:0", "http://a.test:65536",
        "http://a.test:x", "http://a.test/path", "http://a.test?q", "http://a.test#f", "http://user@a.test",
        "http://user:secret@a.test", "http://[::1", "unix:", "unix:a.sock",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: expected http://host:port, https://host:port or unix:/path; got "):
        parse_origin(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://a b",
        "http://a\nb",
        "http://a\tb:80",
        "http://a.test\r\n",
        "http://caf\xe9.test",
        "http://a,b",
        "unix:/a\x00b",
    ],
)
def test_a_url_holds_nothing_that_could_break_out_of_a_header(url: str) -> None:
    with pytest.raises(ValueError, match="url: expected http://host:port"):
        parse_origin(url)


@pytest.mark.parametrize("host", ["a..b", ".a", ".", "a..", f"{'a' * 64}.test", ".".join(["a" * 49] * 5) + ".test"])
def test_a_host_that_no_resolver_could_be_asked_for_is_refused(host: str) -> None:
    expected = "url: expected a host with labels of 1 to 63 characters, 253 in all; got "
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}"):
        parse_origin(f"http://{host}:80")


@pytest.mark.parametrize("host", ["a" * 63, "a.test.", ".".join(["a" * 49] * 5) + ".abc", "xn--caf-dma.test"])
def test_a_host_may_be_as_long_as_a_name_in_the_dns(host: str) -> None:
    assert parse_origin(f"http://{host}:80").host == host


def test_a_host_in_other_letters_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValueError, match=r"expected http://host:port with a host in ASCII, where .* as xn--; got"):
        parse_origin("http://caf\xe9.test:80")


@pytest.mark.parametrize("user", ["user:secret", ":secret", "secret", "user:secret@", "***"])
def test_a_password_in_a_url_is_refused_and_not_told(user: str) -> None:
    with pytest.raises(ValueError, match=re.escape("got 'http://***@a.test:80'")):
        parse_origin(f"http://{user}@a.test:80")


def test_an_instance_is_checked_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="weight: expected 0 or more; got -1"):
        Instance(url="http://a.test", weight=-1)
    with pytest.raises(ValueError, match=re.escape("got 'a.test'")):
        Instance(url="a.test")


def test_instances_are_values() -> None:
    one, same = (Instance(url="http://a.test", labels={"version": "v1"}) for _ in range(2))
    other = Instance(url="http://a.test", labels={"version": "v2"})

    assert one == same
    assert one != other
    assert len({one, same, other}) == 2


def test_an_endpoint_starts_with_its_instances_weight_and_no_requests() -> None:
    endpoint = Endpoint(Instance(url="https://a.test", weight=3))

    assert (endpoint.url, endpoint.weight, endpoint.in_flight, endpoint.requests) == ("https://a.test", 3, 0, 0)
    assert endpoint.origin == Origin("https", "a.test", 443)
    assert repr(endpoint) == "<Endpoint https://a.test>"


def test_endpoints_of_equal_instances_are_two() -> None:
    instance = Instance(url="http://a.test")

    assert Endpoint(instance) != Endpoint(instance)
