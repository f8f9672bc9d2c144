"""The options of `retry`; what they lead to goes elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from meshwright_sdk import (
    IDEMPOTENT,
    Duration,
    HeaderName,
    Method,
    OneOrMany,
    Options,
    RetryBudgetOptions,
    RetryBudgetOrShare,
    Size,
    StatusOrClass,
)

Condition = Literal["connect", "reset", "timeout", "protocol"]


class RetryOptions(Options):
    """How often, after what, and which requests."""

    attempts: int = Field(3, ge=2, le=20, description="Attempts in all, the first one included.")
    on: Annotated[
        tuple[Condition | StatusOrClass, ...],
        OneOrMany("connect, reset, timeout, protocol or a status"),
        Field(min_length=1),
    ] = Field(
        ("connect", "reset", "502", "503"),
        description="What is tried again: `connect` (no connection), `reset` (it broke before an answer), `timeout`, "
        "`protocol` (the answer is no HTTP), a status such as 503, or 5xx for all of them.",
    )
    methods: Annotated[tuple[Method, ...], OneOrMany("a method"), Field(min_length=1)] = Field(
        IDEMPOTENT,
        description="Requests that may be made more than once: by default of the idempotent methods. Add POST only "
        "where the service tells repetitions apart.",
    )
    max_body: Size = Field(
        Size("64KiB"), description="A body that streams is kept up to this size, for another attempt; 0B keeps none."
    )
    backoff: Duration = Field(Duration("25ms"), description="The longest wait before the second attempt.")
    max_backoff: Duration = Field(Duration("250ms"), description="The longest wait before any attempt.")
    max_retry_after: Duration = Field(
        Duration("1s"),
        description="An answer's `retry-after` up to this is waited for; with a longer one the answer is not tried "
        "again.",
    )
    budget: RetryBudgetOrShare = Field(
        RetryBudgetOptions(), description="How many further attempts the traffic may make, such as `20%`."
    )
    header: HeaderName | None = Field(
        "x-request-attempt",
        description="The header that tells the service which attempt it gets, 1 for the first; null for none.",
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.backoff > self.max_backoff:
            raise ValueError(f"expected max_backoff of {self.backoff} or more, as is backoff; got {self.max_backoff}")
        return self
