"""The options of `cache`; what becomes of them goes elsewhere."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_plugins.filters.cache.terms import Defaults
from meshwright_sdk import Duration, Key, Options, PositiveDuration, Size


class CacheOptions(Options):
    """What is stored, where, for how long, and how requests for the same thing share one fetch."""

    max_size: Size = Field(
        Size("64MiB"),
        ge=1,
        description="Bytes kept in each worker's memory; when it is full, what was used the longest ago goes. As much "
        "again may be on its way to be stored.",
    )
    max_body: Size = Field(Size("1MiB"), ge=1, description="Longest content that is stored.")
    shared: bool = Field(
        False,
        description="Keep answers in the store, for all workers and gateways, in place of the worker's memory; how "
        "much fits is the store's business.",
    )
    key: Key | None = Field(
        None, description="What has an answer of its own. When left out: scheme, host, path and query."
    )
    default_ttl: Duration = Field(
        Duration("0s"),
        description="How long a good answer is fresh that says nothing of it; with 0s it is not stored.",
    )
    heuristic: bool = Field(
        False,
        description="Let such an answer be fresh for 10% of the time since its Last-Modified, one day at most.",
    )
    stale_while_revalidate: Duration = Field(
        Duration("0s"),
        description="How long beyond that an answer that says nothing of it is given while a newer one is fetched.",
    )
    stale_if_error: Duration = Field(
        Duration("0s"),
        description="How long beyond that it is given when the service fails.",
    )
    keep_stale: Duration = Field(
        Duration("1h"), description="How long an answer stays in the store after it is of no use without validation."
    )
    client_directives: bool = Field(
        True,
        description="Heed what clients say in Cache-Control, such as no-cache; otherwise none can make the cache ask.",
    )
    store_with_cookies: bool = Field(
        False,
        description="Store answers that set cookies too, without their Set-Cookie, which the first client alone gets.",
    )
    collapse: bool = Field(True, description="Let requests for the same thing wait for one fetch, in each worker.")
    max_wait: PositiveDuration = Field(
        Duration("5s"), description="How long a request waits for another's fetch before it makes its own."
    )
    max_waiting: PositiveInt = Field(1000, description="Requests that wait for one fetch at most; more make their own.")
    pass_for: Duration = Field(
        Duration("10s"),
        description="How long requests for what could not be stored wait for none of each other.",
    )
    name: str = Field(
        "meshwright",
        pattern="^[A-Za-z][A-Za-z0-9_.-]*$",
        description="What this cache calls itself in Cache-Status (RFC 9211).",
    )

    def defaults(self) -> Defaults:
        """Return what holds for answers that say nothing."""
        return Defaults(
            lifetime_s=self.default_ttl,
            heuristic=self.heuristic,
            stale_while_s=self.stale_while_revalidate,
            stale_if_error_s=self.stale_if_error,
        )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.shared and self.max_body > self.max_size:
            raise ValueError(f"max_body: expected at most max_size, {self.max_size}; got {self.max_body}")
        return self
