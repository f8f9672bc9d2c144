from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.config.references import (
    LARGEST_FILE,
    ReferenceFailedError,
    References,
    has_reference,
    without_defaults,
)


def expand(text: str, folder: Path = Path("/nowhere"), **environ: str) -> str:
    return References(environ, folder).expand(text)


def refused(text: str, folder: Path = Path("/nowhere"), **environ: str) -> ReferenceFailedError:
    with pytest.raises(ReferenceFailedError) as caught:
        expand(text, folder, **environ)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${HOST}", "a"),
        ("http://${HOST}:${PORT}/", "http://a:80/"),
        ("${HOST:-b}", "a"),
        ("${NONE:-b}", "b"),
        ("${EMPTY:-b}", "b"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("$HOST", "$HOST"),
        ("a$b{c}", "a$b{c}"),
        ("", ""),
    ],
)
def test_references_are_replaced_by_variables_and_defaults(text: str, expanded: str) -> None:
    assert expand(text, HOST="a", PORT="80", EMPTY="") == expanded


def test_what_comes_in_is_not_looked_at_again() -> None:
    assert expand("${A}", A="${B}", B="secret") == "${B}"


def test_a_missing_variable_is_named_with_a_way_out() -> None:
    error = refused("x-${TOKEN}")

    assert str(error) == "expected the environment variable TOKEN for ${TOKEN}; got none"
    assert error.hint == "set it, or write ${TOKEN:-default}"


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${A-b}", "${1A}", "${A${B}}", "${A b}", "${file:/x"])
def test_a_broken_reference_is_refused_without_showing_the_text(text: str) -> None:
    error = refused(text, A="x", B="y")

    assert (error.expected, error.got) == ("${NAME}, ${NAME:-default} or ${file:PATH}", "something else after ${")


def test_a_file_is_read_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"secret\n")
    (tmp_path / "two").write_bytes(b"a\nb\n\n")
    (tmp_path / "dos").write_bytes(b"secret\r\n")

    assert expand("${file:one}|${file:two}|${file:dos}", tmp_path) == "secret|a\nb\n|secret"
    assert expand(f"${{file:{tmp_path}/one}}") == "secret"


def test_files_are_remembered_also_when_they_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    references = References({}, tmp_path)

    references.expand("${file:there}")
    with pytest.raises(ReferenceFailedError):
        references.expand("${file:missing}")

    assert references.files == {tmp_path / "there", tmp_path / "missing"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(refused("${file:none}", tmp_path)) == (
        "expected a readable file for ${file:none}; got No such file or directory"
    )


def test_what_would_block_or_never_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * (LARGEST_FILE + 1))

    for name in ("pipe", "large", "/dev/zero", "."):
        assert refused(f"${{file:{name}}}", tmp_path).hint.startswith("a plain file of 1048576 bytes at most")


def test_what_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert "expected text in UTF-8" in str(refused("${file:binary}", tmp_path))
    assert "expected text in UTF-8" in str(refused("${A}", A="\udcff"))
    assert "got no such path" in str(refused("${file:a\0b}", tmp_path))


def test_an_escaped_reference_is_none() -> None:
    assert [has_reference(text) for text in ("${A}", "${", "a$${A}", "$A", "x")] == [True, True, False, False, False]


def test_defaults_can_be_hidden() -> None:
    assert without_defaults("${A:-hunter2}/${B}/${C:-}") == "${A:-***}/${B}/${C:-}"


@given(st.text())
def test_any_text_is_either_replaced_or_refused(text: str) -> None:
    try:
        assert expand(text) == text or "${" in text
    except ReferenceFailedError as error:
        assert has_reference(text)
        assert error.expected  # noqa: PT017
