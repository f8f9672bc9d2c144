from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.config import GatewayConfig
from tests.certificates import write_authority, write_certificate
from tests.core.config.samples import loaded, problems

ENCRYPTED = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhh8nlSUBPVdwICCAAw
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificate(tmp_path)
    write_certificate(tmp_path, stem="other")
    write_authority(tmp_path)
    shop = (tmp_path / "shop.pem", tmp_path / "shop.key")
    (tmp_path / "both.pem").write_text("".join(each.read_text() for each in shop))
    (tmp_path / "empty.pem").touch()
    (tmp_path / "folder.pem").mkdir()
    (tmp_path / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return tmp_path


def listener(tls: str) -> str:
    return f"listeners:\n- name: x\n  bind: 'a:1'\n  tls: {{{tls}}}"


def service(tls: str) -> str:
    return f"services:\n  a:\n    endpoints: ['https://a']\n    tls: {{{tls}}}"


def config(text: str, folder: Path) -> GatewayConfig:
    return loaded(text, folder).config


@pytest.mark.parametrize(
    "tls",
    [
        "certificate: shop.pem, key: shop.key",
        "certificate: both.pem",
        "certificates: [{certificate: shop.pem, key: shop.key}, {certificate: both.pem}]",
        "certificate: both.pem, client_ca: ca.pem, client_certificate: request, min_version: '1.3'",
        "certificate: both.pem, min_version: 1.2",
    ],
)
def test_tls_of_a_listener_that_is_right_is_taken(tls: str, folder: Path) -> None:
    assert problems(listener(tls), folder) == []


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ("certificate: none.pem, key: shop.key", 'certificate: expected a file that can be read; got "none.pem": No'),
        ("certificate: folder.pem", 'certificate: expected a file that can be read; got "folder.pem": Is a directory'),
        ('certificate: "\\0"', "certificate: expected a file that can be read"),
        ("certificate: shop.pem, key: none", 'key: expected a file that can be read; got "none": No such file'),
        ("certificate: empty.pem, key: shop.key", 'certificate: expected a certificate in PEM; got "empty.pem": none'),
        ("certificate: damaged.pem, key: shop.key", 'certificate: expected a certificate in PEM; got "damaged.pem": o'),
        ("certificate: shop.pem", 'certificate: expected a private key in PEM; got "shop.pem"'),
        ("certificate: shop.pem, key: empty.pem", 'key: expected a private key in PEM; got "empty.pem"'),
        ("certificate: shop.pem, key: other.key", "key: expected the private key of the certificate; got "),
        ("certificate: both.pem, client_ca: empty.pem", "client_ca: expected certificates of authorities in PEM; got "),
        ("certificate: both.pem, client_ca: none", "client_ca: expected certificates of authorities in PEM; got "),
        ("certificate: both.pem, client_certificate: require", "client_certificate: expected client_ca beside it; got"),
        ("client_ca: ca.pem", ": expected certificate or certificates; got neither"),
        ("certificate: both.pem, certificates: [{certificate: both.pem}]", ": expected certificate or certificates; g"),
        ("certificate: both.pem, certificates: []", "certificates: expected no certificates beside certificate, or o"),
        ("certificates: [{certificate: both.pem}], key: shop.key", "key: expected certificate beside it; got none"),
        ("certificates: [{certificate: both.pem}, {certificate: empty.pem}]", "certificates[1].certificate: expected "),
        ("certificate: both.pem, min_version: 1.1", "min_version: expected one of 1.2 or 1.3; got 1.1"),
    ],
)
def test_what_is_wrong_with_the_tls_of_a_listener_is_told_with_its_place(tls: str, told: str, folder: Path) -> None:
    (problem,) = problems(listener(tls), folder)

    separator = "" if told.startswith(":") else "."
    assert problem.startswith(f"4: listeners[0].tls{separator}{told}")


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((folder / "shop.key").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (folder / "locked.key").write_bytes(encrypted)

    (problem,) = problems(listener("certificate: shop.pem, key: locked.key"), folder)

    assert "tls.key: expected a private key without a passphrase" in problem


def test_a_reference_that_failed_is_told_once(folder: Path) -> None:
    assert len(problems(listener("certificate: '${NONE}', key: '${NONE_TOO}'"), folder)) == 2


@pytest.mark.parametrize(
    "tls", ["", "ca: ca.pem", "verify: false", "certificate: shop.pem, key: shop.key, server_name: Orders.internal"]
)
def test_tls_of_a_service_that_is_right_is_taken(tls: str, folder: Path) -> None:
    assert problems(service(tls), folder) == []


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ("ca: shop.key", 'ca: expected certificates of authorities in PEM; got "shop.key": none'),
        ("key: shop.key", "key: expected certificate beside it; got none"),
        ("certificate: shop.pem, key: other.key", "key: expected the private key of the certificate"),
        ("server_name: 'https://a'", "server_name: expected a name such as orders.example.com"),
        ("server_name: '*.a'", "server_name: expected a name such as orders.example.com"),
    ],
)
def test_what_is_wrong_with_the_tls_of_a_service_is_told_with_its_place(tls: str, told: str, folder: Path) -> None:
    (problem,) = problems(service(tls), folder)

    assert problem.startswith(f"4: services.a.tls.{told}")
