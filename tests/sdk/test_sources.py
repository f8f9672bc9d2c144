"""Tests of `ConfigDocument`."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright_sdk import ConfigDocument, ConfigError


def test_a_file_becomes_a_document_named_as_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gateway.yaml").write_text("routes: []\n")
    monkeypatch.chdir(tmp_path)

    document = ConfigDocument.from_file(Path("gateway.yaml"))

    assert document == ConfigDocument(text="routes: []\n", name="gateway.yaml", base_dir=tmp_path)
    assert ConfigDocument.from_file(Path("gateway.yaml"), name="mine").name == "mine"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_bytes(b"\xef\xbb\xbfroutes: []\n")

    assert ConfigDocument.from_file(tmp_path / "gateway.yaml").text == "routes: []\n"


def test_paths_in_a_linked_file_start_at_the_link(tmp_path: Path) -> None:
    (tmp_path / "version-1").mkdir()
    (tmp_path / "version-1" / "gateway.yaml").write_text("routes: []\n")
    (tmp_path / "gateway.yaml").symlink_to("version-1/gateway.yaml")

    assert ConfigDocument.from_file(tmp_path / "gateway.yaml").base_dir == tmp_path


def test_what_is_no_text_is_refused_with_the_byte(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_bytes(b"routes: \xff")

    with pytest.raises(ConfigError, match=r"^mine: expected text in UTF-8; got byte 0xff$"):
        ConfigDocument.from_file(tmp_path / "gateway.yaml", name="mine")


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ConfigDocument.from_file(tmp_path / "none.yaml")
