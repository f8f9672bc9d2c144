"""`Plugin`: what every kind of plugin has in common — options, context, start and close; no kind of its own."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from meshwright_sdk.clock import Clock, SystemClock
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.pulse import Pulse
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.side_work import SideWork
from meshwright_sdk.tasks import Tasks

if TYPE_CHECKING:
    from meshwright_sdk.routing import Match
    from meshwright_sdk.store import AnyStore


class Options(BaseModel):
    """Base of every plugin's options: unknown keys are errors, values are frozen, every field is described.

    The check of the YAML, the JSON Schema for editors and the reference page are made from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NoOptions(Options):
    """For a plugin that needs no options."""


O_co = TypeVar("O_co", bound=Options, covariant=True)

CallService = Callable[[str, Request], Awaitable[Response]]
"""Send a request to a service by its name; raises UpstreamError."""


async def _no_services(name: str, request: Request) -> Response:
    raise LookupError(f"service {name!r}: this context has no services")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a plugin is given beside its options; everything that would make it hard to test is in here.

    `place` is where in the YAML the plugin is used, such as `routes[2].filters[0]`; `base_dir` the folder
    that relative paths in options start from. `match` is what the route takes, or None where the plugin serves
    more than one route. `tasks` is closed with the plugin's snapshot. `pulse` tells how long a turn of the loop takes,
    and `side_work` is done a step a turn.
    """

    place: str = ""
    route: str | None = None
    match: Match | None = None
    service: str | None = None
    base_dir: Path = field(default_factory=Path)
    clock: Clock = field(default_factory=SystemClock)
    random: Random = field(default_factory=Random)
    metrics: Metrics = field(default_factory=Metrics)
    tasks: Tasks = field(default_factory=Tasks)
    pulse: Pulse = field(default_factory=Pulse)
    side_work: SideWork = field(default_factory=SideWork)
    store: AnyStore | None = None
    call: CallService = _no_services

    @property
    def owner(self) -> str:
        """Whose plugin it is, for people and as a key: `service orders`, `route shop` or `every route`."""
        if self.service:
            return f"service {self.service}"
        return f"route {self.route}" if self.route else "every route"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the plugin's metrics: `service` and `route`, empty where it is of none."""
        return {"service": self.service or "", "route": self.route or ""}


class Plugin(ABC, Generic[O_co]):
    """One use of a plugin in the YAML: made with its options, started, used, closed.

    The constructor has no side effects and may raise ValueError for options that do not fit together.
    `start` may wait (connect, read, fetch) and is followed by `close` also when it failed half-way.
    """

    Options: ClassVar[type[Options]] = NoOptions
    name: ClassVar[str] = ""
    actions: ClassVar[Mapping[str, str]] = {}
    """What the admin API can have it do, each with one sentence for people; see `act`."""
    momentary: ClassVar[frozenset[str]] = frozenset()
    """The actions that are over once they are done, such as emptying something; the others last."""

    def __init__(self, options: O_co, context: Context) -> None:
        self.options = options
        self.context = context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, BaseModel):
                    cls.Options = argument  # type: ignore[assignment]
        if "name" not in cls.__dict__:
            cls.name = _snake_case(cls.__name__)

    async def start(self) -> None:
        """Acquire what the plugin needs before its first use; raises to refuse the configuration."""

    async def close(self) -> None:
        """Give back what `start` acquired; called once, after the last use."""

    def state(self) -> Mapping[str, Any] | None:
        """Return what the admin API shows of this use in this worker, as JSON can say it, or None for nothing."""
        return None

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        """Do one of `actions` in this worker; raises ValueError for arguments that it cannot use.

        It is called in every worker, and again after each reload and in each new worker, until another act with the
        same arguments takes its place, unless it is `momentary`. Must not wait; doing it twice is as doing it once.
        """
        raise NotImplementedError(action)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
