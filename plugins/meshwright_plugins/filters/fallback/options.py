"""The options of `fallback`; what becomes of them goes elsewhere."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_plugins.filters.fallback.reasons import Word
from meshwright_sdk import (
    Duration,
    FixedAnswer,
    ImportPath,
    Key,
    OneOrMany,
    Options,
    PositiveDuration,
    ServiceName,
    Size,
    StatusOrClass,
)


class LastGoodOptions(Options):
    """Which answers are kept, and for how long."""

    max_age: PositiveDuration = Field(Duration("1h"), description="How old an answer may be when it is given again.")
    max_size: Size = Field(
        Size("16MiB"),
        ge=1,
        description="Bytes kept in each worker, keys and heads included; the oldest go when it is full.",
    )
    max_body: Size = Field(Size("1MiB"), ge=1, description="Longest content of one answer that is kept.")
    max_answers: PositiveInt = Field(10_000, description="Answers kept in each worker at most.")
    key: Key | None = Field(
        None,
        description="What has an answer of its own, in each route. When left out: the URL, and nothing is kept of "
        "requests with Authorization or Cookie, or of which a filter has found out who asks.",
    )


class FallbackOptions(Options):
    """When to degrade, and what to give then; of the four what is there is tried in the order of this list."""

    on: Annotated[tuple[Word | StatusOrClass, ...], OneOrMany("a reason"), Field(min_length=1)] = Field(
        ("open", "failed", "timeout", "shed"),
        description="Why: open (a breaker is), failed (no connection, none or no valid answer), timeout, shed (a bound "
        "of the gateway), a status such as 503, or a class such as 5xx. A status that is not named is an answer.",
    )
    last_good: LastGoodOptions | None = Field(
        None, description="The last good answer to the same GET or HEAD, if there is one; {} for the defaults."
    )
    service: ServiceName | None = Field(None, description="Another service, which gets the same request.")
    call: ImportPath | None = Field(
        None,
        description="An async function, as package.module:name, that gets the request and the error (None for a status "
        "or by hand) and returns a Response.",
    )
    respond: FixedAnswer | None = Field(None, description="A fixed answer.")

    @model_validator(mode="after")
    def _has_something(self) -> Self:
        if self.last_good is None and self.service is None and self.call is None and self.respond is None:
            raise ValueError("expected at least one of last_good, service, call and respond; got none")
        return self
