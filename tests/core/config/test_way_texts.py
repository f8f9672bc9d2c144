from __future__ import annotations

import pytest

from meshwright.http1.forwarding import Forwarding
from meshwright.http1.target import PathRules
from tests.core.config.samples import loaded, problems


def forwarding_of(options: str) -> Forwarding:
    config = loaded(f"listeners:\n  - {{name: a, bind: '127.0.0.1:0'{options and ', ' + options}}}").config
    return Forwarding.of(config.listeners[0])


def test_a_listener_that_says_nothing_trusts_nobody_and_merges_slashes() -> None:
    forwarding = forwarding_of("")

    assert (forwarding.tells, forwarding.via, forwarding.path) == ("x-forwarded", b"", PathRules())
    assert not forwarding.trusted.trusts("127.0.0.1")
    assert not forwarding.trusted.trusts("")


def test_what_a_listener_says_is_what_it_does() -> None:
    forwarding = forwarding_of(
        "trusted_proxies: [10.0.0.0/8, '::1', unix], forwarded: off, via: edge, "
        "path: {merge_slashes: false, encoded_slash: decode, backslash: refuse}"
    )

    assert [each for each in ("10.1.2.3", "::1", "", "11.0.0.1") if forwarding.trusted.trusts(each)] == [
        "10.1.2.3",
        "::1",
        "",
    ]
    assert (forwarding.tells, forwarding.via) == ("off", b"edge")
    assert forwarding.path == PathRules(merge_slashes=False, encoded_slash="decode", backslash="refuse")


def test_one_proxy_needs_no_list() -> None:
    assert forwarding_of("trusted_proxies: 192.0.2.1").trusted.trusts("192.0.2.1")


@pytest.mark.parametrize("via", ["edge", "gw.example.com", "gw.example.com:8080", "a!b"])
def test_a_name_in_via_is_a_pseudonym_or_a_host(via: str) -> None:
    assert forwarding_of(f"via: '{via}'").via == via.encode()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("trusted_proxies: [proxy]", "trusted_proxies[0]: expected an address, a network such as 10.0.0.0/8, or unix"),
        ("trusted_proxies: 10.0.0.0/33", "expected an address, a network such as 10.0.0.0/8, or unix"),
        ("trusted_proxies: 10.0.0.1/8", "such as 10.0.0.0/8 (no bits set to the right of its length), or unix; got"),
        ("trusted_proxies: 5", "trusted_proxies: expected an address, or a list of such; got 5"),
        ("forwarded: all", 'forwarded: expected one of x-forwarded, forwarded, both or off; got "all"'),
        ("via: 'a b'", "via: expected off or a name such as edge or gw.example.com"),
        ('via: "a\\r\\nb"', "via: expected off or a name"),
        ("path: {encoded_slash: no}", "path.encoded_slash: expected one of keep, refuse or decode"),
        ("path: {merge_slashes: maybe}", "path.merge_slashes: expected true or false"),
        ("path: {slashes: true}", "path.slashes: expected one of the keys"),
    ],
)
def test_a_wrong_option_is_told_in_one_sentence(options: str, problem: str) -> None:
    found = problems(f"listeners:\n  - {{name: a, bind: '127.0.0.1:0', {options}}}")

    assert len([line for line in found if problem in line]) == 1, found


@pytest.mark.parametrize("host", ["a b", "a/b", "''", "a:99999", "bücher"])
def test_a_service_s_host_is_a_word_or_a_host(host: str) -> None:
    (problem,) = problems(f"services:\n  s: {{endpoints: ['http://a'], host: {host}}}")

    assert "services.s.host: expected keep, endpoint, or a host such as shop.example.com" in problem
