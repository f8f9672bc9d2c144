from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_plugins.filters.cache.record import Varying, read, write
from meshwright_plugins.filters.cache.terms import Terms
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Counter, StoreError
from meshwright_sdk.testing import ManualClock, build
from tests.plugins.filters.cache.rig import Rig, answer, numbered

VALUES = st.binary(max_size=20)


@given(st.binary(max_size=100), st.lists(st.tuples(VALUES, VALUES)), st.booleans())
def test_an_answer_is_read_as_it_was_written(data: bytes, fields: list[tuple[bytes, bytes]], flag: bool) -> None:
    terms = Terms(1.5, 60.0, 0.0, 9.0, validated=flag, strict=not flag, for_all=flag)
    stored = Answer(200, fields, data, terms, kept_at=5.25, names=(b"a",), values=b"+1")

    found = read(write(stored))

    assert isinstance(found, Answer)
    assert all(getattr(found, name) == getattr(stored, name) for name in Answer.__slots__)


@given(st.binary(max_size=100))
def test_what_another_version_wrote_is_nothing(record: bytes) -> None:
    for kind in (b"", b"A", b"V"):
        read(kind + record)


def test_variants_are_read_as_they_were_written() -> None:
    varying = Varying((b"accept", b"x-\xff"), "ab", 12.5)

    assert read(write(varying)) == varying


async def test_an_answer_comes_from_the_store_and_variants_stay_apart() -> None:
    rig = Rig(numbered(vary="x-a"), store=build(Memory), shared=True)

    assert [await rig.get(x_a=value) for value in "ababba"] == [*"121221"]


async def test_a_change_leaves_every_variant_behind() -> None:
    rig = Rig(numbered(vary="x-a"), store=build(Memory), shared=True)
    for value in "ab":
        await rig.get(x_a=value)
    await rig.ask("DELETE")

    assert [await rig.get(x_a=value) for value in "ba"] == [*"45"]
    assert [await rig.get(x_a=value) for value in "ba"] == [*"45"]


async def test_a_variant_of_short_life_ends_no_other() -> None:
    clock = ManualClock()
    answers = answer("long", vary="x-a"), answer("short", "max-age=1", vary="x-a"), answer("new")
    rig = Rig(*answers, clock=clock, store=build(Memory, clock=clock), shared=True)
    assert [await rig.get(x_a=value) for value in "ab"] == ["long", "short"]
    await rig.clock.advance(10)

    assert await rig.get(x_a="a") == "long"


async def test_what_is_purged_is_not_given_by_this_worker_any_more() -> None:
    rig = Rig(numbered(), store=build(Memory), shared=True)
    for path in ("/a", "/b"):
        await rig.get(path)
    await rig.clock.advance(1)
    rig.cache.act("purge", {"prefix": "http://gateway.test/a"})
    await rig.clock.advance(1)

    assert [await rig.get(path) for path in ("/a", "/b", "/a")] == [*"323"]


async def test_a_store_that_is_away_is_an_empty_one() -> None:
    class Away(Memory):
        async def get(self, key: str) -> bytes | None:
            raise StoreError("away")

        async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
            raise StoreError("away")

        async def delete(self, key: str) -> bool:
            raise StoreError("away")

    rig = Rig(numbered(), store=build(Away), shared=True)

    assert [await rig.get(), await rig.get(), (await rig.ask("PUT")).status] == ["1", "2", 200]
    (failures,) = rig.cache.context.metrics.families["meshwright_cache_store_failures_total"].metrics.values()
    assert isinstance(failures, Counter)
    assert failures.read is not None
    assert failures.read() >= 5
