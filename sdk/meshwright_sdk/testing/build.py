"""`build`: a plugin as the gateway would make it, for tests; start and close stay with the test."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, TypeVar

from meshwright_sdk.clock import Clock
from meshwright_sdk.plugin import Context, Plugin
from meshwright_sdk.store import AnyStore

P = TypeVar("P", bound=Plugin[Any])


def build(
    plugin: type[P],
    *,
    clock: Clock | None = None,
    store: AnyStore | None = None,
    random: Random | None = None,
    base_dir: Path | None = None,
    context: Context | None = None,
    **options: Any,
) -> P:
    """Return `plugin` made with `options`, written as they would be in the YAML.

    Randomness is seeded unless `random` is given. Raises pydantic.ValidationError for wrong options.
    """
    given: dict[str, Any] = {"clock": clock, "store": store, "base_dir": base_dir}
    made = context or Context(
        place="test",
        random=random or Random(0),
        **{name: value for name, value in given.items() if value is not None},
    )
    return plugin(plugin.Options.model_validate(options), made)
