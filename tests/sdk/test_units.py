from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Annotated, Any

import pytest
from annotated_types import Gt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from meshwright_sdk.units import Duration, Percent, Rate, Secret, Size

TYPES = [Duration, Percent, Rate, Size]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("5s", 5.0),
        ("0s", 0.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("2d", 172_800.0),
        ("10us", 0.00001),
        ("1d2h3m4s5ms6us", 93_784.005006),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert Duration(text) == seconds


@pytest.mark.parametrize(
    "wrong",
    ["", "10", "-5s", "+5s", "s", "5", "5 s", " 5s", "5s\n", "30s1m", "5s5s", "5S", "1e3s", "٣s", "inf", ".5s"],
)
def test_what_is_no_duration_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"such as 250ms or 5s; got {json.dumps(wrong, ensure_ascii=False)}")
    ):
        Duration(wrong)


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [(10, "10"), (0, "0"), (1, "1"), (1.5, "1.5"), (True, "true"), (None, "nothing"), ({}, "a mapping")],
)
def test_a_bare_number_is_refused_because_it_has_no_unit(wrong: Any, shown: str) -> None:
    with pytest.raises(ValueError, match="expected a duration with a unit such as 250ms or 5s; got ") as caught:
        Duration(wrong)

    assert str(caught.value).endswith(f"got {shown}")


def test_a_duration_has_an_upper_bound() -> None:
    assert str(Duration("36500d")) == "36500d"
    with pytest.raises(ValueError, match="36500d at most"):
        Duration("36501d")
    with pytest.raises(ValueError, match="expected a duration"):
        Duration("9" * 400 + "s")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("250ms", "250ms"),
        ("0.25s", "250ms"),
        ("0.2s", "200ms"),
        ("2.5ms", "2.5ms"),
        ("1500ms", "1.5s"),
        ("1m30s", "1m30s"),
        ("75s", "1m15s"),
        ("60s", "1m"),
        ("90.25s", "1m30.25s"),
        ("90m", "1h30m"),
        ("1h0m5s", "1h5s"),
        ("36h", "1d12h"),
        ("1000d", "1000d"),
        ("999us", "999us"),
        ("0.001us", "0.001us"),
        ("3600s", "1h"),
        ("0ms", "0s"),
        ("0.001ms", "1us"),
        ("86400s", "1d"),
    ],
)
def test_a_duration_prints_as_a_person_would_write_it(text: str, printed: str) -> None:
    assert (str(Duration(text)), f"{Duration(text)}") == (printed, printed)


@pytest.mark.parametrize("example", Duration.examples)
def test_an_example_of_a_duration_prints_as_it_is_written(example: str) -> None:
    assert str(Duration(example)) == example


@given(st.floats(min_value=0, max_value=3e9))
def test_every_duration_reads_back_as_it_prints(seconds: float) -> None:
    duration = Duration(f"{seconds:.9f}s")

    assert Duration(str(duration)) == duration
    assert duration == pytest.approx(seconds, abs=1e-9, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "count", "printed"),
    [
        ("512B", 512, "512B"),
        ("64KiB", 65_536, "64KiB"),
        ("1MiB", 1_048_576, "1MiB"),
        ("1.5MiB", 1_572_864, "1536KiB"),
        ("2GiB", 2**31, "2GiB"),
        ("1TiB", 2**40, "1TiB"),
        ("1kB", 1000, "1kB"),
        ("10MB", 10_000_000, "10MB"),
        ("1GB", 10**9, "1GB"),
        ("0B", 0, "0B"),
        ("1024B", 1024, "1KiB"),
    ],
)
def test_a_size_is_a_number_of_bytes(text: str, count: int, printed: str) -> None:
    assert (Size(text), str(Size(text))) == (count, printed)


@pytest.mark.parametrize("wrong", ["10", "-1B", "1KB", "1kb", "1 MiB", "0.5B", "1025TiB", "MiB", "1MiB1KiB"])
def test_what_is_no_size_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=f'expected a size with a unit such as 64KiB or 1MiB.*; got "{wrong}"'):
        Size(wrong)


@given(st.integers(min_value=0, max_value=2**50))
def test_every_size_reads_back_as_it_prints(count: int) -> None:
    assert Size(str(Size.of_bytes(count))) == count


@pytest.mark.parametrize(
    ("text", "per_second"), [("100/s", 100.0), ("60/m", 1.0), ("0.4/s", 0.4), ("36/h", 0.01), ("86400/d", 1.0)]
)
def test_a_rate_knows_how_many_a_second_it_is(text: str, per_second: float) -> None:
    assert Rate(text).per_second == pytest.approx(per_second)
    assert str(Rate(text)) == text


@pytest.mark.parametrize("wrong", ["100", "0/s", "-1/s", "1/2s", "1/w", "/s", "1 / s", "9999999999999/s"])
def test_what_is_no_rate_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=f'expected a rate above 0 .* such as 100/s or 5/m; got "{wrong}"'):
        Rate(wrong)


@given(
    st.decimals(min_value="0.000000001", max_value=10**12, places=9, allow_nan=False, allow_infinity=False),
    st.sampled_from("smhd"),
)
def test_every_rate_reads_back_as_it_prints(count: Any, period: str) -> None:
    rate = Rate(f"{count:f}/{period}")

    assert Rate(str(rate)) == rate


def test_a_rate_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        Rate("1/s").count = 5  # type: ignore[misc]


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.1%", 0.001), ("100%", 1.0), ("0%", 0.0)])
def test_a_percentage_is_a_share_of_one(text: str, share: float) -> None:
    assert (Percent(text), str(Percent(text))) == (share, text)


@pytest.mark.parametrize("wrong", ["5", "0.05", "-5%", "101%", "%", "5 %"])
def test_what_is_no_percentage_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=f'expected a percentage with its sign such as .*; got "{wrong}"'):
        Percent(wrong)


@given(st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,18})?%", fullmatch=True).filter(str.isascii))
def test_every_percentage_reads_back_as_it_prints(text: str) -> None:
    assert Percent(str(Percent(text))) == Percent(text)


@pytest.mark.parametrize("kind", TYPES)
@given(text=st.text())
def test_any_text_is_either_read_or_refused_with_an_example(kind: Any, text: str) -> None:
    try:
        assert kind(str(kind(text))) == kind(text)
    except ValueError as error:
        assert str(error).startswith("expected ")  # noqa: PT017
        assert " such as " in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", TYPES)
def test_a_value_can_be_copied_and_pickled(kind: Any) -> None:
    value = kind(kind.examples[0])

    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == kind(value) == value
    assert eval(repr(value), {kind.__name__: kind}) == value
    assert type(pickle.loads(pickle.dumps(value))) is kind


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, validate_default=True)

    wait: Duration = Duration("5s")
    body: Size = Size("1MiB")
    rate: Rate = Rate("100/s")
    share: Percent = Percent("5%")
    token: Secret | None = None


def test_a_model_reads_texts_and_writes_them_in_json() -> None:
    limits = Limits.model_validate({"wait": "250ms", "body": "64KiB", "rate": "5/m", "share": "1%"})

    assert limits.wait == 0.25
    assert limits.model_dump(mode="json", exclude_none=True) == {
        "wait": "250ms",
        "body": "64KiB",
        "rate": "5/m",
        "share": "1%",
    }
    assert Limits.model_validate_json(limits.model_dump_json()) == limits
    assert Limits.model_validate(limits.model_dump()) == limits


@pytest.mark.parametrize("field", ["wait", "body", "rate", "share"])
def test_a_model_refuses_a_bare_number(field: str) -> None:
    with pytest.raises(ValidationError, match=r"expected a .* such as .*; got 10"):
        Limits.model_validate({field: 10})


def test_the_json_schema_has_pattern_examples_and_default() -> None:
    schema = Limits.model_json_schema()["properties"]

    assert schema["wait"]["default"] == "5s"
    for kind, field in zip((Duration, Size, Rate, Percent), ("wait", "body", "rate", "share"), strict=True):
        assert schema[field]["type"] == "string"
        assert schema[field]["pattern"] == kind.pattern
        assert all(re.search(kind.pattern, example) for example in schema[field]["examples"])


def test_a_bound_can_be_put_on_a_duration() -> None:
    above_zero = TypeAdapter(Annotated[Duration, Gt(Duration("0s"))])

    assert above_zero.validate_python("1ms") == 0.001
    with pytest.raises(ValidationError, match="greater than 0"):
        above_zero.validate_python("0s")


def test_a_secret_shows_nothing_but_stars() -> None:
    secret = Secret("hunter2")
    model = Limits(token=secret)

    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, repr(model), str(model)]  # noqa: UP031
    shown += [model.model_dump_json(), str(model.model_dump()), json.dumps(model.model_dump(mode="json"))]

    assert not [text for text in shown if "hunter" in text]
    assert model.model_dump()["token"] == "***"
    assert secret.reveal() == "hunter2"


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret("a") == Secret("a") == Secret(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("ä") != "ä"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_a_refused_secret_is_not_in_the_message() -> None:
    with pytest.raises(ValidationError) as caught:
        Limits.model_validate({"token": 31337})

    assert caught.value.errors()[0]["msg"] == "Value error, expected a secret as text; got ***"


def test_the_json_schema_marks_a_secret() -> None:
    assert TypeAdapter(Secret).json_schema() == {"type": "string", "writeOnly": True}
