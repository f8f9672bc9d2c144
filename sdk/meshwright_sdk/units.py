"""The option types that carry a unit or a secret; they parse, print and compare, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hmac import compare_digest
from json import dumps
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"

_DURATIONS = {
    unit: Decimal(seconds)
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1), ("ms", "1e-3"), ("us", "1e-6"))
}
_SIZES = {"B": 1} | {
    f"{prefix}{unit}": base**power
    for unit, prefixes, base in (("iB", "KMGT", 1024), ("B", "kMGT", 1000))
    for power, prefix in enumerate(prefixes, 1)
}
_PERIODS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class _Text:
    """What the types of this module share: written as text in YAML and JSON, described by a pattern."""

    __slots__ = ()

    pattern: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    noun: ClassVar[str]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the constructor; keep the value in Python, write it as text in JSON."""
        make: Callable[[Any], Any] = cls
        return core_schema.no_info_plain_validator_function(
            make, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text form."""
        return {"type": "string", "pattern": cls.pattern, "examples": list(cls.examples)}

    @classmethod
    def _match(cls, text: object) -> re.Match[str]:
        matched = re.fullmatch(cls.pattern, text) if isinstance(text, str) else None
        if matched is None:
            raise cls._refused(text)
        return matched

    @classmethod
    def _refused(cls, text: object, limit: str = "") -> ValueError:
        return ValueError(f"expected {cls.noun}{limit}; got {_shown(text)}")


class Duration(_Text, float):
    """A span of time, in seconds as a float; written `250ms`, `5s` or `1m30s` (units d, h, m, s, ms, us).

    `Duration("5s")` raises ValueError for anything but such a text, a bare number and a negative one
    included, and above 36500 days; a part of a nanosecond is rounded away. `str` writes it as a person
    would, such as `250ms`, `1.5s` or `1m30s`, and reads back as the same value.
    """

    __slots__ = ()

    pattern = "^(?=.)" + "".join(f"({_NUMBER}{unit})?" for unit in _DURATIONS) + "$"
    examples = ("250ms", "5s", "1m30s")
    noun = "a duration with a unit such as 250ms or 5s"

    def __new__(cls, text: str | Duration) -> Self:
        """Parse `text`; a Duration is taken as it is."""
        if isinstance(text, Duration):
            return super().__new__(cls, float(text))
        groups = cls._match(text).groups()
        parts = zip(groups, _DURATIONS.items(), strict=True)
        total = sum((_number(part, unit) * factor for part, (unit, factor) in parts if part), Decimal(0))
        if total > 36_500 * 86_400:
            raise cls._refused(text, ", 36500d at most")
        return super().__new__(cls, round(total, 9))

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (str(self),)

    def __str__(self) -> str:
        left = Decimal(float.__repr__(self))
        if left < 1:
            unit = "ms" if left >= _DURATIONS["ms"] else "us" if left else "s"
            return f"{_plain(left / _DURATIONS[unit])}{unit}"
        parts = []
        for unit in ("d", "h", "m"):
            count, left = divmod(left, _DURATIONS[unit])
            parts.append(f"{count:f}{unit}" if count else "")
        return "".join(parts) + (f"{_plain(left)}s" if left else "")

    def __repr__(self) -> str:
        return f"Duration('{self}')"


class Size(_Text, int):
    """A number of bytes; written `512B`, `64KiB` or `1MiB` (binary), `64kB` or `1MB` (decimal), up to TiB, TB.

    `Size("1MiB")` raises ValueError for anything but such a text and for a part of a byte; nothing is
    above 1024TiB. `str` gives the shortest form that reads back as the same value.
    """

    __slots__ = ()

    pattern = f"^({_NUMBER})({'|'.join(_SIZES)})$"
    examples = ("512B", "64KiB", "1MiB", "10MB")
    noun = "a size with a unit such as 64KiB or 1MiB"

    def __new__(cls, text: str | Size) -> Self:
        """Parse `text`; a Size is taken as it is."""
        if isinstance(text, Size):
            return super().__new__(cls, int(text))
        number, unit = cls._match(text).groups()
        size = Decimal(number) * _SIZES[unit]
        if size != int(size):
            raise cls._refused(text, " in whole bytes")
        if size > 2**50:
            raise cls._refused(text, ", 1024TiB at most")
        return super().__new__(cls, int(size))

    @classmethod
    def of_bytes(cls, count: int) -> Self:
        """Make a size of a computed number of bytes, 0 or more."""
        return cls(f"{count}B")

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (str(self),)

    def __str__(self) -> str:
        count = int(self)
        forms = [f"{count // factor}{unit}" for unit, factor in _SIZES.items() if count % factor == 0]
        return min(forms, key=len) if count else "0B"

    def __repr__(self) -> str:
        return f"Size('{self}')"


class Percent(_Text, float):
    """A share between 0 and 1, as a float; written with its sign: `5%`, `0.1%`, `100%`.

    `Percent("5%")` raises ValueError for anything but such a text and above 100%. `str` gives the
    shortest form that reads back as the same value.
    """

    __slots__ = ()

    pattern = f"^({_NUMBER})%$"
    examples = ("5%", "0.1%", "100%")
    noun = "a percentage with its sign such as 5% or 0.1%"

    def __new__(cls, text: str | Percent) -> Self:
        """Parse `text`; a Percent is taken as it is."""
        if isinstance(text, Percent):
            return super().__new__(cls, float(text))
        share = Decimal(cls._match(text)[1]) / 100
        if share > 1:
            raise cls._refused(text, ", 100% at most")
        return super().__new__(cls, round(share, 14))

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (str(self),)

    def __str__(self) -> str:
        return f"{_plain(Decimal(float.__repr__(self)) * 100)}%"

    def __repr__(self) -> str:
        return f"Percent('{self}')"


@dataclass(frozen=True, slots=True, init=False)
class Rate(_Text):
    """So many in a period, which is s, m, h or d; written `100/s`, `5/m`, `0.4/s`.

    `Rate("5/m")` raises ValueError for anything but such a text, for 0 and above 10¹² in a period. Two
    rates are equal when count and period are: `60/m` is not `1/s`, because a counter's window differs.
    """

    count: float
    period_s: int
    per_second: float = field(compare=False)
    """How many fit into one second."""

    pattern: ClassVar[str] = f"^({_NUMBER})/([{''.join(_PERIODS)}])$"
    examples: ClassVar[tuple[str, ...]] = ("100/s", "5/m", "0.4/s")
    noun: ClassVar[str] = "a rate above 0 with its period such as 100/s or 5/m"

    def __init__(self, text: str | Rate) -> None:
        if isinstance(text, Rate):
            count, period_s = text.count, text.period_s
        else:
            number, period = self._match(text).groups()
            count, period_s = float(round(Decimal(number), 9)), _PERIODS[period]
        if not 0 < count <= 1e12:
            raise self._refused(text)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "period_s", period_s)
        object.__setattr__(self, "per_second", count / period_s)

    def __str__(self) -> str:
        period = next(unit for unit, seconds in _PERIODS.items() if seconds == self.period_s)
        return f"{_plain(Decimal(repr(self.count)))}/{period}"

    def __repr__(self) -> str:
        return f"Rate('{self}')"


class Secret:
    """A text that prints as `***` everywhere: `str`, `repr`, messages, and dumps of the model that holds it.

    `reveal` is the one way to the text. Comparing takes the same time wherever two secrets differ.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret) -> None:
        if not isinstance(text, str | Secret):
            raise ValueError("expected a secret as text; got ***")
        self._text: str = text._text if isinstance(text, Secret) else text

    def reveal(self) -> str:
        """Return the text; it must go into no message, log or dump."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret('***')"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the constructor; every dump holds `***`."""
        hidden = core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema())
        return core_schema.no_info_plain_validator_function(cls, serialization=hidden)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe a text that is never shown."""
        return {"type": "string", "writeOnly": True}


def _number(text: str, unit: str) -> Decimal:
    """Return the number before `unit`."""
    return Decimal(text.removesuffix(unit))


def _plain(number: Decimal) -> str:
    """Return the number without exponent and without zeros that say nothing."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _shown(value: object) -> str:
    """Return a short form of a wrong value, as it would be written in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return dumps(value if len(value) <= 60 else f"{value[:57]}...", ensure_ascii=False)
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


PositiveDuration = Annotated[Duration, Field(gt=Duration("0s"))]
"""A span of time that is not 0."""

PositivePercent = Annotated[Percent, Field(gt=Percent("0%"))]
"""A share that is not 0."""
