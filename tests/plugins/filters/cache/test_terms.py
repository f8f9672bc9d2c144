from __future__ import annotations

from email.utils import formatdate
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.filters.cache.answer import Answer, Use
from meshwright_plugins.filters.cache.directives import NOTHING
from meshwright_plugins.filters.cache.terms import Defaults, Terms, fields_of, initial_age, terms_of

NOW = 1_700_000_000.25
TIMES = st.integers(0, 10**6)


def terms(raw: list[tuple[bytes, bytes]], *, delay_s: float = 0.0, defaults: Defaults | None = None) -> Terms:
    return terms_of(200, fields_of(raw), delay_s=delay_s, received_at=NOW, defaults=defaults or Defaults())


@given(age=TIMES, behind=st.integers(-(10**6), 10**6), delay=st.floats(0, 100))
def test_an_age_is_the_greatest_that_anybody_claims(age: int, behind: int, delay: float) -> None:
    found = initial_age(b"%d" % age, floor(NOW) - behind, delay_s=delay, received_at=NOW)

    assert found == max(0, behind, age + delay)  # RFC 9111, section 4.2.3


@given(shared=st.none() | TIMES, private=st.none() | TIMES, expires=st.none() | st.integers(-(10**6), 10**6))
def test_the_most_particular_lifetime_counts(shared: int | None, private: int | None, expires: int | None) -> None:
    raw = [(b"date", formatdate(NOW, usegmt=True).encode())]
    if expires is not None:
        raw.append((b"expires", formatdate(floor(NOW) + expires, usegmt=True).encode()))
    if private is not None:
        raw.append((b"cache-control", b"max-age=%d" % private))
    if shared is not None:
        raw.append((b"cache-control", b"s-maxage=%d" % shared))

    expected = next((each for each in (shared, private) if each is not None), None)
    if expected is None and expires is not None:
        expected = max(0, expires)
    assert terms(raw).lifetime_s == expected


@given(lifetime=TIMES, age=TIMES, while_s=TIMES, waited=st.floats(0, 2 * 10**6))
def test_an_answer_is_fresh_for_its_lifetime_and_then_stale_for_a_while(
    lifetime: int, age: int, while_s: int, waited: float
) -> None:
    control = b"max-age=%d, stale-while-revalidate=%d" % (lifetime, while_s)
    answer = Answer(200, [], b"", terms([(b"age", b"%d" % age), (b"cache-control", control)]), kept_at=1000.0)

    use = answer.use(1000.0 + waited, NOTHING)

    present_age = 1000.0 + waited - (1000.0 - age)
    if lifetime > present_age:
        assert use is Use.FRESH
    elif present_age - lifetime < while_s:
        assert use is Use.WHILE
    else:
        assert use is Use.ASK


@given(st.lists(st.sampled_from([b"no-cache", b"must-revalidate", b"proxy-revalidate"]), min_size=1))
def test_nothing_makes_an_answer_stale_that_forbids_it(words: list[bytes]) -> None:
    control = b"max-age=1, stale-while-revalidate=99, stale-if-error=99, " + b", ".join(words)
    found = terms([(b"cache-control", control)], defaults=Defaults(stale_while_s=99, stale_if_error_s=99))

    assert (found.stale_while_s, found.stale_if_error_s, found.strict) == (0, 0, True)


def test_the_time_that_the_answer_took_is_part_of_its_age() -> None:
    assert terms([(b"cache-control", b"max-age=9")], delay_s=3.5).age_s == 3.5


def test_a_lifetime_by_rule_holds_only_where_nothing_is_said() -> None:
    rule = Defaults(lifetime_s=60)

    assert terms([], defaults=rule).lifetime_s == 60
    assert terms([(b"cache-control", b"max-age=5")], defaults=rule).lifetime_s == 5
    assert terms([(b"cache-control", b"no-cache")], defaults=rule).lifetime_s == 0


def test_a_lifetime_that_is_guessed_is_a_day_at_most() -> None:
    raw = [(b"last-modified", b"Sat, 01 Jan 2000 00:00:00 GMT")]

    assert terms(raw, defaults=Defaults(heuristic=True)).lifetime_s == 86_400


def test_of_several_ages_and_expiries_the_first_counts() -> None:
    found = fields_of([(b"age", b"1"), (b"age", b"2"), (b"cache-control", b"a"), (b"cache-control", b"b")])

    assert found == {b"age": b"1", b"cache-control": b"a, b"}
