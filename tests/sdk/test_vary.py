from __future__ import annotations

import pytest

from meshwright_sdk import variant_of, varies_with
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.vary import MOST_NAMES


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], ()),
        ([b""], ()),
        ([b" , "], ()),
        ([b"Accept"], (b"accept",)),
        ([b"b ,\tA", b"a"], (b"a", b"b")),
        ([b"*"], None),
        ([b"a", b"b, *"], None),
        ([b"x*"], (b"x*",)),
        ([b",".join(b"x%d" % number for number in range(MOST_NAMES + 1))], None),
    ],
)
def test_what_an_answer_depends_on_is_named_by_all_of_its_vary(
    values: list[bytes], names: tuple[bytes, ...] | None
) -> None:
    assert varies_with([(b"accept", b"x"), *((b"vary", value) for value in values)]) == names


def test_as_many_names_as_there_may_be_are_all_of_them() -> None:
    names = varies_with([(b"vary", b",".join(b"x%d" % number for number in range(MOST_NAMES)))])
    assert names is not None
    assert len(names) == MOST_NAMES


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([], [], True),
        ([(b"b", b"1")], [(b"b", b"2")], True),
        ([(b"a", b"1")], [(b"a", b"2")], False),
        ([(b"a", b"")], [], False),
        ([(b"a", b"-")], [], False),
        ([(b"a", b"1, 2")], [(b"a", b"1\t,2")], True),
        ([(b"a", b"1"), (b"b", b"x"), (b"a", b"2")], [(b"a", b"1, 2")], True),
        ([(b"a", b"1"), (b"a", b"2")], [(b"a", b"1")], False),
        ([(b"a", b"1,2")], [(b"a", b"2,1")], False),
        ([(b"a", b"gzip")], [(b"a", b"GZIP")], False),
        ([(b"a", b'"1, 2"')], [(b"a", b'"1,2"')], False),
    ],
)
def test_requests_of_one_variant_say_the_same_in_these_fields(one: RawHeaders, other: RawHeaders, same: bool) -> None:
    assert (variant_of((b"a",), one) == variant_of((b"a",), other)) is same


def test_a_value_in_one_field_is_not_that_value_in_another() -> None:
    names = (b"a", b"b")
    assert variant_of(names, [(b"a", b"1")]) != variant_of(names, [(b"b", b"1")])
