from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.config import Document, read_document
from meshwright_sdk import ConfigError


def read(text: str, folder: Path | None = None, **environ: str) -> Document:
    return read_document(text, "conf/g.yaml", environ=environ, folder=folder)


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def test_a_document_is_plain_data() -> None:
    document = read("a: {b: [1, 0777, 1.5, on, 'no', null, 2024-01-01, 1:30]}\non: [connect]\nc: |\n  10\n")

    assert document.data == {
        "a": {"b": [1, 777, 1.5, "on", "no", None, "2024-01-01", "1:30"]},
        "on": ["connect"],
        "c": "10\n",
    }
    assert (document.get("on"), document.get("off", 1)) == (["connect"], 1)


def test_each_value_knows_its_line() -> None:
    document = read("a:\n  b:\n    1\n  c:\n    - x\n    - d: 2\n")

    paths = [("a",), ("a", "b"), ("a", "c"), ("a", "c", 0), ("a", "c", 1), ("a", "c", 1, "d")]
    assert [document.line_of(path) for path in paths] == [1, 2, 4, 5, 6, 6]


def test_what_is_missing_stands_where_it_would_be_added() -> None:
    document = read("x: 1\na:\n  b: 1\n")

    assert document.line_of(("a", "missing", 0)) == 2
    assert document.line_of(("missing",)) is None
    assert document.line_of(()) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "conf/g.yaml: expected a mapping such as `listeners`, `routes` and `services` make; got an empty file"),
        (
            "---\n",
            "conf/g.yaml: expected a mapping such as `listeners`, `routes` and `services` make; got an empty file",
        ),
        ("- a", "conf/g.yaml:1: expected a mapping such as `listeners`, `routes` and `services` make; got a list"),
        ("\nx", "conf/g.yaml:2: expected a mapping such as `listeners`, `routes` and `services` make; got a text"),
    ],
)
def test_what_is_no_mapping_is_refused(text: str, problem: str) -> None:
    assert refused(text) == [problem]


def test_a_plain_reference_may_become_a_number_and_a_quoted_one_stays_a_text() -> None:
    document = read("a: ${PORT}\nb: '${PORT}'\nc: x${PORT}\nd: ${OFF:-}\ne: ${ON}", PORT="8080", ON="true")

    assert document.data == {"a": 8080, "b": "8080", "c": "x8080", "d": None, "e": True}


def test_an_escaped_reference_is_a_text() -> None:
    assert read("a: $${X}").data == {"a": "${X}"}


def test_values_are_shown_as_they_were_written() -> None:
    document = read(
        "a: ${PORT}\nb: 'x${PORT}'\nc: 0x10\nd: fast\ne: '10'\nf:\ng: []\nh: {i: 1}\nj: null\nk: [1]\nl: {}",
        PORT="8080",
    )

    assert [document.shown((key,)) for key in "abcdefghjklm"] == [
        "${PORT}",
        '"x${PORT}"',
        "0x10",
        '"fast"',
        '"10"',
        "nothing",
        "an empty list",
        "a mapping",
        "null",
        "a list",
        "an empty mapping",
        "nothing",
    ]


def test_all_references_that_fail_are_told_with_their_places() -> None:
    document = read("a: ${A}\nb:\n  - ${B}\n  - ${C}\n", B="x")

    assert [str(problem).partition(";")[0] for problem in document.problems] == [
        "conf/g.yaml:1: a: expected the environment variable A for ${A}",
        "conf/g.yaml:4: b[1]: expected the environment variable C for ${C}",
    ]
    assert [document.is_unresolved(path) for path in [("a",), ("b",), ("b", 0), ("b", 1)]] == [True, False, False, True]


def test_paths_of_referenced_files_start_at_the_folder_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    document = read_document("a: ${file:token}\nb: ${file:none}", tmp_path / "g.yaml", environ={})

    assert document.data["a"] == "abc"
    assert document.files == {tmp_path / "token", tmp_path / "none"}
    assert read("a: ${file:token}", tmp_path).data == {"a": "abc"}


def test_what_an_alias_stands_for_has_a_path_of_its_own() -> None:
    document = read("a: &x\n - ${P}\nb: *x\n", P="1")

    assert document.data == {"a": [1], "b": [1]}
    assert document.data["a"] is not document.data["b"]
    assert document.line_of(("b", 0)) == 2
    assert document.shown(("b", 0)) == "${P}"


def test_references_can_be_kept_as_texts() -> None:
    document = read("a:\n  - b: ${P}\n  - 1", P="80")

    assert document.with_texts({("a", 0, "b")}) == {"a": [{"b": "80"}, 1]}
    assert document.data == {"a": [{"b": 80}, 1]}


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abc", min_size=1), yaml_values, max_size=4))
def test_data_that_is_written_as_json_is_read_as_it_was(data: dict[str, object]) -> None:
    text = json.dumps(data, ensure_ascii=False).replace("${", "$${")
    document = read(text)

    assert document.data == data
    assert not document.problems
