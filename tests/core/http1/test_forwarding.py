"""Whom a listener believes about a request's way, and what services are told: as values, and over real sockets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.forwarding import Forwarding, Tells, Trusted, port_of
from meshwright.http1.request_head import Peer, peer_of, request_of
from meshwright.http1.rules import read_head
from meshwright_sdk import Address, DownstreamError, Request
from tests.core.http1.harness import gateway_to, serving
from tests.core.http1.test_proxy import Keeping
from tests.core.http1.test_server import Keeping as KeepingHandler

PROXIES = Trusted(["10.0.0.0/8", "2001:db8::/32", "unix"])
ADDRESS = ("10.0.0.1", 4000)
SOCK = ("10.0.0.9", 8080)


def asked(
    *fields: tuple[bytes, bytes],
    peer: object = ADDRESS,
    tls: bool = False,
    trusted: Trusted = PROXIES,
    tells: Tells = "x-forwarded",
    host: bytes = b"shop.test",
    version: str = "1.1",
    via: bytes = b"",
) -> Request:
    forwarding = Forwarding(trusted=trusted, tells=tells, via=via)
    head = read_head([(b"host", host), *fields], DownstreamError)
    return request_of("GET", b"/", version, head, peer_of(peer, SOCK, tls=tls, forwarding=forwarding))


def told(request: Request) -> dict[str, str]:
    """Return what a service is told of the way."""
    fields = dict(request.headers.multi_items())
    assert len(fields) == len(request.headers.raw)
    return {name: value for name, value in fields.items() if name not in ("host", "x-kept")}


def x(*, addresses: str, proto: str = "http", host: str = "shop.test", port: str = "80") -> dict[str, str]:
    """Return the fields of X-Forwarded-*."""
    return {
        "x-forwarded-for": addresses,
        "x-forwarded-proto": proto,
        "x-forwarded-host": host,
        "x-forwarded-port": port,
    }


# Nobody is believed


@pytest.mark.parametrize("peer", [("192.0.2.1", 4000), ("11.0.0.1", 4000), ("2001:db9::1", 4000, 0, 0)])
def test_a_stranger_is_not_believed(peer: tuple[str, int]) -> None:
    request = asked(
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x-forwarded-proto", b"https"),
        (b"x-kept", b"1"),
        (b"forwarded", b"for=6.6.6.6;proto=https"),
        (b"x-real-ip", b"6.6.6.6"),
        (b"x_forwarded_for", b"6.6.6.6"),
        (b"x-forwarded-prefix", b"/evil"),
        (b"x-forwarded-host", b"evil"),
        peer=peer,
    )

    assert told(request) == x(addresses=peer[0])
    assert (request.client, request.scheme, request.headers["x-kept"]) == (Address(peer[0], 4000), "http", "1")


def test_without_trusted_proxies_nobody_is_believed_whoever_it_is() -> None:
    for peer in (("127.0.0.1", 1), "", None):
        request = asked((b"x-forwarded-for", b"6.6.6.6"), peer=peer, trusted=Trusted())
        assert "6.6.6.6" not in str(told(request))
        assert request.client == Address("127.0.0.1" if isinstance(peer, tuple) else "", 1 if peer else 0)


# A trusted proxy is believed


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b"6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (b"6.6.6.6, 192.0.2.1, 10.0.0.2, 2001:db8::7", "192.0.2.1"),
        (b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(value: bytes, client: str) -> None:
    request = asked((b"x-forwarded-for", value))

    assert request.client == Address(client, 0)
    assert told(request) == x(addresses=value.decode() + ", 10.0.0.1")


def test_several_fields_are_one_list() -> None:
    request = asked((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"192.0.2.1:55, 10.0.0.2"))

    assert request.client == Address("192.0.2.1", 55)
    assert told(request)["x-forwarded-for"] == "6.6.6.6, 192.0.2.1, 10.0.0.2, 10.0.0.1"


@pytest.mark.parametrize(
    ("value", "client", "sent"),
    [
        (b"x", "10.0.0.1", "10.0.0.1"),
        (b"", "10.0.0.1", "10.0.0.1"),
        (b"6.6.6.6, x, 192.0.2.1", "192.0.2.1", "192.0.2.1, 10.0.0.1"),
        (b"6.6.6.6, x, 10.0.0.2", "10.0.0.2", "10.0.0.2, 10.0.0.1"),
        (b"192.0.2.1, unknown", "10.0.0.1", "10.0.0.1"),
    ],
)
def test_what_is_malformed_is_dropped_with_all_that_stands_left_of_it(value: bytes, client: str, sent: str) -> None:
    request = asked((b"x-forwarded-for", value))

    assert request.client is not None
    assert (request.client.host, told(request)["x-forwarded-for"]) == (client, sent)


def test_scheme_host_and_port_are_kept() -> None:
    request = asked(
        (b"x-forwarded-proto", b"HTTPS"),
        (b"x-forwarded-host", b"Shop.Example:8443"),
        (b"x-forwarded-port", b"9443"),
        (b"x-forwarded-prefix", b"/shop"),
    )

    expected = x(addresses="10.0.0.1", proto="https", host="Shop.Example:8443", port="9443")
    assert told(request) == {**expected, "x-forwarded-prefix": "/shop"}
    assert (request.scheme, request.host, request.headers["host"]) == ("https", "shop.test", "shop.test")


def test_a_scheme_for_websockets_is_the_one_below_it() -> None:
    assert asked((b"x-forwarded-proto", b"wss")).scheme == "https"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((b"x-forwarded-proto", each) for each in (b"gopher", b"", b"https,http", b"https\xff")),
        *((b"x-forwarded-host", each) for each in (b"a, b", b"a@b", b"a b", b"", b"a:0", b"\xff", b"a" * 300)),
        *((b"x-forwarded-port", each) for each in (b"0", b"65536", b"x", b"-1", b"", b"80,81", b"\xb2", b"1" * 5000)),
    ],
)
def test_a_malformed_claim_counts_as_not_there(name: bytes, value: bytes) -> None:
    assert told(asked((name, value))) == x(addresses="10.0.0.1")


def test_the_port_follows_from_what_is_kept_where_it_is_not_told() -> None:
    assert told(asked((b"x-forwarded-proto", b"https")))["x-forwarded-port"] == "443"
    assert told(asked((b"x-forwarded-host", b"a:81")))["x-forwarded-port"] == "81"


def test_a_peer_of_a_unix_socket_has_no_address_and_is_trusted_by_a_word() -> None:
    direct = asked(peer="")
    assert "x-forwarded-for" not in direct.headers
    request = asked((b"x-forwarded-for", b"6.6.6.6, 192.0.2.1"), peer="")
    assert request.client == Address("192.0.2.1", 0)
    assert told(request)["x-forwarded-for"] == "6.6.6.6, 192.0.2.1"
    assert asked((b"forwarded", b"for=192.0.2.1"), peer="", tells="forwarded").headers["forwarded"] == (
        "for=192.0.2.1;host=shop.test;proto=http, for=unknown;host=shop.test;proto=http"
    )


def test_a_peer_that_is_not_known_is_no_unix_socket() -> None:
    request = asked((b"x-forwarded-for", b"6.6.6.6, 192.0.2.1"), peer=None)
    assert request.client == Address("", 0)
    assert "x-forwarded-for" not in told(request)


def test_an_ipv4_peer_of_an_ipv6_socket_is_its_ipv4_address() -> None:
    request = asked((b"x-forwarded-for", b"::ffff:192.0.2.1"), peer=("::ffff:10.0.0.1", 4000, 0, 0))

    assert told(request)["x-forwarded-for"] == "192.0.2.1, 10.0.0.1"


def test_a_zone_is_of_no_use_to_others() -> None:
    request = asked(peer=("fe80::1%eth0", 4000, 0, 2), host=b"a")

    assert (request.client, told(request)["x-forwarded-for"]) == (Address("fe80::1", 4000), "fe80::1")


# Which fields


def test_forwarded_is_written_by_rfc_7239() -> None:
    assert told(asked(tells="forwarded", host=b"Shop:81", peer=("2001:db8::1", 1, 0, 0), tls=True)) == {
        "forwarded": 'for="[2001:db8::1]";host="Shop:81";proto=https'
    }


def test_forwarded_is_appended_to() -> None:
    value = b'for=6.6.6.6;by=_x;secret=1, For="[2001:db9::1]:47";proto=https;host="a:443", for=10.0.0.2'
    request = asked((b"forwarded", value), (b"x-forwarded-for", b"6.6.6.7"), tells="forwarded")

    assert (request.client, request.scheme) == (Address("2001:db9::1", 47), "https")
    assert told(request) == {
        "forwarded": 'for=6.6.6.6, for="[2001:db9::1]:47";host="a:443";proto=https, for=10.0.0.2, '
        "for=10.0.0.1;host=shop.test;proto=http"
    }


def test_both_say_the_same() -> None:
    fields = (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"a")
    request = asked(*fields, tells="both")

    assert told(request) == {
        **x(addresses="192.0.2.1, 10.0.0.1", proto="https", host="a", port="443"),
        "forwarded": "for=192.0.2.1;host=a;proto=https, for=10.0.0.1;host=shop.test;proto=http",
    }


@pytest.mark.parametrize("tells", ["x-forwarded", "both", "off"])
def test_where_both_came_and_disagree_x_forwarded_counts(tells: Tells) -> None:
    request = asked(
        (b"forwarded", b"for=6.6.6.6;proto=http"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-proto", b"https"),
        tells=tells,
    )

    assert (request.client, request.scheme) == (Address("192.0.2.1", 0), "https")
    assert "6.6.6.6" not in str(request.headers)


@pytest.mark.parametrize(
    ("tells", "client"), [("x-forwarded", "10.0.0.1"), ("both", "192.0.2.1"), ("off", "192.0.2.1")]
)
def test_forwarded_alone_is_read_by_those_who_do_not_speak_x_forwarded_only(tells: Tells, client: str) -> None:
    request = asked((b"forwarded", b"for=192.0.2.1"), tells=tells)

    assert request.client is not None
    assert request.client.host == client


def test_an_address_that_is_hidden_is_sent_on_and_the_client_is_the_nearest_known() -> None:
    request = asked((b"forwarded", b"for=6.6.6.6, for=_secret;proto=https, for=10.0.0.2"), tells="both")

    assert (request.client, request.scheme) == (Address("10.0.0.2", 0), "https")
    assert told(request)["x-forwarded-for"] == "10.0.0.2, 10.0.0.1"
    assert told(request)["forwarded"].startswith("for=6.6.6.6, for=_secret;host=shop.test;proto=https, for=10.0.0.2, ")


def test_a_hop_without_a_name_is_not_a_unix_socket() -> None:
    request = asked((b"forwarded", b"for=6.6.6.6;proto=https, proto=http"), tells="forwarded", peer="")

    assert (request.client, request.scheme) == (Address("", 0), "http")


def test_a_proxy_may_tell_the_scheme_alone() -> None:
    request = asked((b"forwarded", b"proto=https"), tells="forwarded")

    assert (request.client, request.scheme) == (Address(*ADDRESS), "https")


def test_off_tells_services_nothing_and_still_believes() -> None:
    request = asked((b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-prefix", b"/a"), tells="off")

    assert request.client == Address("192.0.2.1", 0)
    assert told(request) == {}


def test_via_is_added_after_what_came_and_says_the_version() -> None:
    request = asked((b"via", b"1.0 front"), via=b"edge", version="1.0")

    assert request.headers.getlist("via") == ["1.0 front", "1.0 edge"]
    assert "via" not in asked().headers


# Trust


def test_trust_is_by_address_network_and_word() -> None:
    trusted = Trusted(["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "::1"])

    assert [host for host in ("192.0.2.1", "10.255.0.1", "2001:db8::1", "::1") if not trusted.trusts(host)] == []
    assert [host for host in ("192.0.2.2", "11.0.0.1", "::2", "", "name", "10.0.0.1x") if trusted.trusts(host)] == []
    assert Trusted(["unix"]).trusts("")


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
def test_trust_is_what_the_network_says(address: object, base: object, bits: int) -> None:
    network = ip_network(f"{base}/{bits}", strict=False)
    assert Trusted([str(network)]).trusts(str(address)) is (ip_address(str(address)) in network)


@given(
    st.lists(st.ip_addresses(v=4).map(str), max_size=6),
    st.lists(st.integers(1, 254).map(lambda number: f"10.0.1.{number}"), max_size=4),
    st.sampled_from([b"", b"junk, ", b'for=", ', b"6.6.6.6,,"]),
)
def test_nobody_left_of_the_first_stranger_changes_who_the_client_is(
    claimed: list[str], proxies: list[str], junk: bytes
) -> None:
    value = junk + ", ".join([*claimed, "192.0.2.1", *proxies]).encode()
    forwarded = junk + ", ".join(f"for={each}" for each in [*claimed, "192.0.2.1", *proxies]).encode()

    assert asked((b"x-forwarded-for", value)).client == Address("192.0.2.1", 0)
    assert asked((b"forwarded", forwarded), tells="forwarded").client == Address("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "scheme", "port"),
    [
        (b"a", "http", b"80"),
        (b"a", "https", b"443"),
        (b"a:81", "https", b"81"),
        (b"a:", "http", b"80"),
        (b"[::1]", "http", b"80"),
        (b"[::1]:82", "http", b"82"),
        (b"a1", "http", b"80"),
    ],
)
def test_the_port_is_the_one_of_the_host(host: bytes, scheme: str, port: bytes) -> None:
    assert port_of(host, scheme) == port


def test_what_is_remembered_of_a_connection_is_of_the_host_that_is_asked_for() -> None:
    peer = peer_of(("192.0.2.1", 1), SOCK, tls=False)

    assert [(host, _host_told(peer, host)) for host in (b"a", b"b:81", b"b:81", b"a")] == [
        (b"a", ("a", "a", "80")),
        (b"b:81", ("b", "b:81", "81")),
        (b"b:81", ("b", "b:81", "81")),
        (b"a", ("a", "a", "80")),
    ]


def test_a_refused_host_leaves_nothing_behind() -> None:
    peer = peer_of(("192.0.2.1", 1), SOCK, tls=False)
    _host_told(peer, b"a")
    for _ in range(2):
        with pytest.raises(DownstreamError):
            _host_told(peer, b"b c")
    assert _host_told(peer, b"a") == ("a", "a", "80")


def _host_told(peer: Peer, host: bytes) -> tuple[str, str, str]:
    request = request_of("GET", b"/", "1.1", read_head([(b"host", host)], DownstreamError), peer)
    return request.host, request.headers["x-forwarded-host"], request.headers["x-forwarded-port"]


# On the wire


CLAIMS = b"X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: Shop.Example\r\n"


async def test_a_trusted_proxys_claims_reach_the_service(bytewise: bool) -> None:
    script = Keeping()
    forwarding = Forwarding(trusted=Trusted(["127.0.0.0/8"]), tells="both")
    async with gateway_to(script, bytewise=bytewise, forwarding=forwarding) as rig:
        await rig.ask(b"GET / HTTP/1.1\r\nHost: a\r\n", CLAIMS, b"\r\n")
        (request,) = rig.begun
        assert (request.client, request.scheme) == (Address("192.0.2.1", 0), "https")

    headers = script.requests[0].headers
    assert headers["x-forwarded-for"] == "6.6.6.6, 192.0.2.1, 127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-host"]) == ("https", "Shop.Example")
    assert headers["forwarded"].endswith(", for=127.0.0.1;host=a;proto=http")


async def test_a_strangers_claims_do_not_reach_the_service(bytewise: bool) -> None:
    script = Keeping()
    async with gateway_to(
        script, bytewise=bytewise, forwarding=Forwarding(trusted=Trusted(["10.0.0.0/8", "unix"]))
    ) as rig:
        await rig.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\n", CLAIMS, b"\r\n")

    headers = script.requests[0].headers
    assert "6.6.6.6" not in str(headers)
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")


async def test_via_goes_both_ways_and_is_added_after_what_came(bytewise: bool) -> None:
    script = Keeping(b"HTTP/1.1 200 OK\r\nVia: 1.1 back\r\ncontent-length: 2\r\n\r\nok")
    async with gateway_to(script, bytewise=bytewise, forwarding=Forwarding(via=b"edge")) as rig:
        answer = await rig.ask(b"GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 front\r\n\r\n")

    assert script.requests[0].headers.getlist("via") == ["1.1 front", "1.0 edge"]
    assert answer.headers.getlist("via") == ["1.1 back", "1.1 edge"]


async def test_an_answer_of_the_gateway_itself_came_through_nobody() -> None:
    async with serving(KeepingHandler(), forwarding=Forwarding(via=b"edge")) as server:
        answer = await server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert "via" not in answer.headers


async def test_no_via_is_the_default() -> None:
    script = Keeping()
    async with gateway_to(script) as rig:
        answer = await rig.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert "via" not in script.requests[0].headers
    assert "via" not in answer.headers
