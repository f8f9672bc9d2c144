from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.config import nodes
from meshwright.config.nodes import Mapping, Node, Scalar, Sequence, compose
from meshwright_sdk import ConfigError


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose(text, "g.yaml")
    return [str(problem) for problem in caught.value.problems]


def plain(node: Node | None) -> object:
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.text if node is not None else None


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_Loader", getattr(yaml, request.param))


def test_every_key_and_value_has_its_line() -> None:
    top = compose("a: 1\nb:\n  - x\n  - {c:\n    'y'}\n", "g.yaml")

    assert isinstance(top, Mapping)
    assert (top.lines, top.entries["a"]) == ({"a": 1, "b": 2}, Scalar(1, "1", plain=True))
    items = top.entries["b"]
    assert isinstance(items, Sequence)
    assert (items.line, items.items[0]) == (3, Scalar(3, "x", plain=True))
    inner = items.items[1]
    assert isinstance(inner, Mapping)
    assert (inner.line, inner.lines, inner.entries) == (4, {"c": 4}, {"c": Scalar(5, "y", plain=False)})


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n", "\ufeff"])
def test_a_text_without_a_document_is_empty(text: str) -> None:
    assert compose(text, "g.yaml") is None


def test_a_byte_order_mark_is_passed_over() -> None:
    assert plain(compose("\ufeffa: b", "g.yaml")) == {"a": "b"}


def test_an_alias_stands_for_the_node_of_its_anchor() -> None:
    assert plain(compose("a: &x [1, 2]\nb: *x\nc: [*x, *x]", "g.yaml")) == {
        "a": ["1", "2"],
        "b": ["1", "2"],
        "c": [["1", "2"], ["1", "2"]],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\t- b", "g.yaml:2: expected spaces for indentation; got a tab"),
        ("a: b\n---\nc: d", "g.yaml:2: expected one YAML document; got a second one (remove the line `---`)"),
        ("a: 1\nb: 2\na: 3", 'g.yaml:3: expected each key once; got "a" again (the first one is in line 1)'),
        ("x:\n  1: a", 'g.yaml:2: x: expected a text as key; got 1 (write it in quotes: "1")'),
        ("x:\n  true: a", 'g.yaml:2: x: expected a text as key; got true (write it in quotes: "true")'),
        ("? [a]\n: b", "g.yaml:1: expected a text as key; got a list"),
        ("? {a: b}\n: b", "g.yaml:1: expected a text as key; got a mapping"),
        ("? \n: b", "g.yaml:1: expected a text as key; got nothing"),
        ("a: !!python/name:os.system x", 'g.yaml:1: a: expected a value without a tag; got the tag "!!python/name:os'),
        ("a: *b", "g.yaml:1: a: expected an alias of an anchor that stands before it; got *b"),
        ("a: &x [1, *x]", "g.yaml:1: a[1]: expected an alias of an anchor that stands before it; got *x, which"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "g.yaml:3: c: expected keys that are written out; got the merge key <<"),
        ("a: x\x07", "g.yaml:1: expected text; got the character U+0007"),
        ("a: x\n\nb: \ud800", "g.yaml:3: expected text; got the character U+D800"),
        ("a: {bind: ${NAME}}", 'in [] and {} a reference needs quotes, such as "${NAME}"'),
        ("a: @b", "(put the text in quotes)"),
        ("a: b: c", "(a text that has a colon needs quotes, and keys of one mapping the same indentation)"),
        ("a: [1\nb: 2", "expected well-formed YAML; got an error: "),
    ],
)
def test_what_is_no_yaml_for_a_configuration_is_one_clear_problem(text: str, problem: str) -> None:
    found = refused(text)

    assert len(found) == 1
    assert problem in found[0]


def test_all_wrong_keys_are_told_at_once() -> None:
    assert len(refused("1: a\nb: c\nb: d\n~: e\nf: !x g")) == 4


def test_words_of_yaml_1_1_are_keys_like_any_other() -> None:
    assert plain(compose("on: a\noff: b\nno: c", "g.yaml")) == {"on": "a", "off": "b", "no": "c"}


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_an_alias_bomb_is_refused_before_it_costs_anything() -> None:
    # It would stand for 10 to the power of 30 values: without the bound this does not return.
    assert "expected aliases that stand for 100000 values at most" in refused(bomb(30))[0]


def test_a_few_aliases_of_aliases_are_no_bomb() -> None:
    assert compose(bomb(4), "g.yaml") is not None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "- " * 500,
        "{a: " * 5000,
        "? " * 500,
        "x:\n- &a0 [x]\n" + "".join(f"- &a{n} [*a{n - 1}]\n" for n in range(1, 200)),
    ],
)
def test_depth_is_bounded_also_through_aliases(text: str) -> None:
    found = refused(text)

    assert len(found) == 1
    assert found[0].endswith(": expected lists and mappings 100 deep at most; got deeper ones")


def test_the_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST_NODES", 10)

    assert refused("- a\n" * 10) == ["g.yaml:10: expected 10 keys and values at most; got more"]


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@`,?#\n\t \\$0"), max_size=60))
@settings(max_examples=300)
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        compose(text, "g.yaml")
    except ConfigError as error:
        assert error.problems  # noqa: PT017
