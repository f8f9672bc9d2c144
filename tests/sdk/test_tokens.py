"""Tests of the token patterns."""

from __future__ import annotations

from meshwright_sdk.tokens import TOKEN, TOKEN_BYTES

_SEPARATORS = set('"(),/:;<=>?@[\\]{} \t')


def test_every_visible_character_but_the_separators_makes_a_token() -> None:
    visible = {chr(code) for code in range(0x21, 0x7F)}

    taken = {char for code in range(0x110000) if TOKEN.fullmatch(char := chr(code))}

    assert taken == visible - _SEPARATORS


def test_bytes_are_matched_as_text_is() -> None:
    for code in range(256):
        as_text = TOKEN.fullmatch(chr(code)) is not None
        assert (TOKEN_BYTES.fullmatch(bytes([code])) is not None) == as_text


def test_nothing_is_no_token() -> None:
    assert TOKEN.fullmatch("") is None
    assert TOKEN_BYTES.fullmatch(b"") is None
