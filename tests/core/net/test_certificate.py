from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.net.certificate import read_certificate
from tests.certificates import write_certificate


def der_of(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")


@pytest.fixture(scope="module")
def der(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return der_of(write_certificate(tmp_path_factory.mktemp("der"), "shop.example.com")[0])


def test_its_names_are_read_and_those_that_are_none_are_left_out(tmp_path: Path) -> None:
    file, _ = write_certificate(tmp_path, "Shop.example.com", "*.example.com", "127.0.0.1", "::1", "a@example.com")

    assert read_certificate(file.read_text()).names == ("shop.example.com", "*.example.com")


def test_its_end_is_read_as_the_standard_library_reads_it(tmp_path: Path) -> None:
    for days in (1, 10_000):  # the second is after 2049 and written in another form
        file, _ = write_certificate(tmp_path, days=days)
        known = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]

        assert read_certificate(file.read_text()).not_after == ssl.cert_time_to_seconds(known["notAfter"])


def test_a_common_name_counts_where_there_is_no_other_name(tmp_path: Path) -> None:
    file, _ = write_certificate(tmp_path, "a@example.com", common_name="Old.example.com")

    assert read_certificate(file.read_text()).names == ("old.example.com",)


def test_a_common_name_does_not_count_beside_others(tmp_path: Path) -> None:
    file, _ = write_certificate(tmp_path, "new.example.com", common_name="old.example.com")

    assert read_certificate(file.read_text()).names == ("new.example.com",)


def test_the_first_of_a_chain_is_read(tmp_path: Path) -> None:
    one, other = (write_certificate(tmp_path, name, stem=name)[0].read_text() for name in ("one.test", "other.test"))

    assert read_certificate(f"some text\n{one}{other}").names == ("one.test",)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a certificate in PEM; got"):
        read_certificate(text)


@given(st.data())
def test_a_damaged_one_is_read_or_refused(der: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(der) - 1))
    damaged = der[:place] + data.draw(st.binary(max_size=4)) + der[place + data.draw(st.integers(0, 4)) :]

    try:
        read_certificate(ssl.DER_cert_to_PEM_cert(damaged))
    except ValueError as error:
        refused = str(error)
    else:
        return
    assert "expected a certificate in PEM; got" in refused
