from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from meshwright.config.model import TlsConfig
from meshwright.net.server_tls import ServerTls
from tests.certificates import trusting, write_authority, write_certificate
from tests.core.net.handshake import handshake, names_shown


def tls(folder: Path, **options: Any) -> ServerTls:
    return ServerTls(TlsConfig.model_validate(options), folder)


def shop(folder: Path, *names: str, **options: Any) -> dict[str, str]:
    """Write a certificate and return its files as the YAML has them."""
    certificate, key = write_certificate(folder, *names, **options)
    return {"certificate": certificate.name, "key": key.name}


def unchecked(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a client take a certificate for any name."""
    context.check_hostname = False
    return context


@pytest.fixture
def three(tmp_path: Path) -> ServerTls:
    names = {"one": ("shop.test", "deep.wild.test"), "two": ("*.wild.test", "shop.test"), "three": ("a.wild.test",)}
    return tls(tmp_path, certificates=[shop(tmp_path, *each, stem=stem) for stem, each in names.items()])


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("shop.test", "shop.test"),
        ("SHOP.test", "shop.test"),
        ("b.wild.test", "*.wild.test"),
        ("a.wild.test", "a.wild.test"),
        ("deep.wild.test", "shop.test"),
        ("b.a.wild.test", "shop.test"),
        ("wild.test", "shop.test"),
        ("other.test", "shop.test"),
        (None, "shop.test"),
    ],
)
def test_the_certificate_is_chosen_by_the_name_and_the_first_one_is_the_default(
    three: ServerTls, asked: str | None, shown: str
) -> None:
    assert names_shown(handshake(three.context(), unchecked(trusting()), asked))[0] == shown


def test_a_client_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    files = shop(tmp_path)

    assert handshake(tls(tmp_path, **files).context(), old).version() == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        handshake(tls(tmp_path, **files, min_version="1.3").context(), old)


def test_http_1_is_agreed_on_where_the_client_asks(tmp_path: Path) -> None:
    client = trusting()
    client.set_alpn_protocols(["h2", "http/1.1"])

    assert handshake(tls(tmp_path, **shop(tmp_path)).context(), client).selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("asks", "client", "taken"),
    [
        ("require", "known", True),
        ("require", "stranger", False),
        ("require", None, False),
        ("request", "known", True),
        ("request", "stranger", False),
        ("request", None, True),
    ],
)
def test_clients_show_certificates_as_they_are_asked(
    tmp_path: Path, asks: str, client: str | None, taken: bool
) -> None:
    write_authority(tmp_path)
    known = write_certificate(tmp_path, "a@example.com", stem="known")
    stranger = write_certificate(tmp_path, "a@example.com", stem="stranger", by="strangers")
    shown = {"known": known, "stranger": stranger, None: None}[client]
    context = tls(tmp_path, **shop(tmp_path), client_ca="ca.pem", client_certificate=asks).context()

    if taken:
        handshake(context, trusting(certificate=shown))
    else:
        with pytest.raises(ssl.SSLError):
            handshake(context, trusting(certificate=shown))


def test_the_certificate_that_the_name_chooses_asks_for_the_clients_too(tmp_path: Path) -> None:
    write_authority(tmp_path)
    pairs = [shop(tmp_path, "one.test", stem="one"), shop(tmp_path, "two.test", stem="two")]
    context = tls(tmp_path, certificates=pairs, client_ca="ca.pem").context()

    for name in ("one.test", "two.test"):
        with pytest.raises(ssl.SSLError):
            handshake(context, trusting(), name)


def test_renewed_files_are_in_use_after_two_looks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    served = tls(tmp_path, **shop(tmp_path, "old.test"))
    looks = [served.renew("listener web")]
    shop(tmp_path, "new.test")
    looks += [served.renew("listener web") for _ in range(3)]

    assert looks == [False, False, True, False]
    assert names_shown(handshake(served.context(), trusting(), "new.test")) == ["new.test"]
    (line,) = caplog.messages
    assert line.startswith("listener web: certificate shop.pem is renewed, valid until ")


def test_files_that_cannot_be_used_are_told_once_and_those_before_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served = tls(tmp_path, **shop(tmp_path, "old.test"))
    old_key = (tmp_path / "shop.key").read_bytes()
    shop(tmp_path, "new.test")
    new_key = (tmp_path / "shop.key").read_bytes()
    (tmp_path / "shop.key").write_bytes(old_key)
    broken = [served.renew("listener web") for _ in range(4)]
    still = names_shown(handshake(served.context(), trusting(), "old.test"))
    (tmp_path / "shop.key").write_bytes(new_key)
    mended = [served.renew("listener web") for _ in range(2)]

    assert (broken, still, mended) == ([False] * 4, ["old.test"], [False, True])
    (line,) = caplog.messages
    assert line.startswith("listener web: the changed certificates cannot be used, those before go on: ")


def test_a_half_written_file_is_in_use_when_it_is_whole_although_it_looks_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its size is what it was, and its time may be: clocks of file systems tick slowly."""
    served = tls(tmp_path, **shop(tmp_path, "old.test"))
    shop(tmp_path, "new.test")
    file = tmp_path / "shop.pem"
    whole = file.read_bytes()
    looks = os.stat(file)
    file.write_bytes(whole[:100] + bytes(len(whole) - 100))
    os.utime(file, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    broken = [served.renew("listener web") for _ in range(4)]
    file.write_bytes(whole)
    os.utime(file, ns=(looks.st_atime_ns, looks.st_mtime_ns))

    assert (broken, served.renew("listener web"), served.renew("listener web")) == ([False] * 4, True, False)
    assert names_shown(handshake(served.context(), trusting(), "new.test")) == ["new.test"]
    assert len(caplog.messages) == 1
