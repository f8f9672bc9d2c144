from __future__ import annotations

import pytest

from tests.core.config.samples import loaded


@pytest.mark.parametrize(
    ("service", "warned"),
    [
        ("endpoints: ['https://a'], tls: {server_name: b}", []),
        ("endpoints: ['http://a']", []),
        ("endpoints: ['http://a', 'https://a'], tls: {}", []),
        ("discovery: {consul: {service: a}}, tls: {server_name: b}", []),
        ("endpoints: ['https://a'], tls: {verify: false}", ["tls.verify: expected that endpoints' certificates are"]),
        ("endpoints: ['http://a'], tls: {server_name: b}", ["tls: expected an https:// endpoint that it is for; got"]),
        ("app: 'a:b', tls: {server_name: b}", ["tls: expected an https:// endpoint that it is for; got none"]),
    ],
)
def test_tls_that_protects_nothing_is_warned_of(service: str, warned: list[str]) -> None:
    warnings = [str(each) for each in loaded(f"services:\n  a: {{{service}}}").warnings()]

    assert len(warnings) == len(warned)
    for shown, expected in zip(warnings, warned, strict=True):
        assert shown.startswith(f"gateway.yaml:2: services.a.{expected}")
