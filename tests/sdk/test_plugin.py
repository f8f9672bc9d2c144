from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from pydantic import Field, ValidationError

from meshwright_sdk import (
    Balancer,
    CallNext,
    Context,
    Filter,
    NoOptions,
    Options,
    Request,
    Response,
    SystemClock,
)
from meshwright_sdk.plugin import Plugin
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, make_request


class GreetOptions(Options):
    greeting: str = Field("hello", description="What is said.")


class GreetEverybody(Filter[GreetOptions]):
    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        return Response.text(self.options.greeting)


class GreetLoudly(GreetEverybody):
    name = "shout"


class HTTPCache(Filter[NoOptions]):
    pass


def test_a_plugins_options_are_those_of_its_base() -> None:
    assert GreetEverybody.Options is GreetOptions
    assert GreetLoudly.Options is GreetOptions
    assert HTTPCache.Options is NoOptions


def test_a_plugin_is_named_for_its_class_unless_it_says_otherwise() -> None:
    assert (GreetEverybody.name, GreetLoudly.name, HTTPCache.name) == ("greet_everybody", "shout", "http_cache")


def test_unknown_options_are_refused_and_known_ones_are_frozen() -> None:
    options = GreetOptions()

    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        GreetOptions.model_validate({"greting": "x"})
    with pytest.raises(ValidationError, match="frozen"):
        options.greeting = "x"  # type: ignore[misc]


def test_a_plugin_that_lacks_its_method_cannot_be_made() -> None:
    class Nothing(Balancer[NoOptions]):
        pass

    with pytest.raises(TypeError, match="pick"):
        build(Nothing)  # type: ignore[type-abstract]


async def test_a_plugin_without_start_and_close_has_nothing_to_do() -> None:
    class Idle(Plugin[NoOptions]):
        pass

    idle = build(Idle)
    await idle.start()
    await idle.close()


async def test_a_context_of_its_own_has_no_services() -> None:
    context = Context()

    assert isinstance(context.clock, SystemClock)
    with pytest.raises(LookupError, match="service 'orders': this context has no services"):
        await context.call("orders", make_request())


def test_contexts_share_nothing() -> None:
    assert Context().metrics is not Context().metrics
    assert Context().tasks is not Context().tasks


def test_build_makes_a_plugin_as_the_yaml_would() -> None:
    clock = ManualClock()
    greet = build(GreetEverybody, greeting="hi", clock=clock, base_dir=Path("/etc"))

    assert (greet.options.greeting, greet.context.clock, greet.context.base_dir) == ("hi", clock, Path("/etc"))
    with pytest.raises(ValidationError):
        build(GreetEverybody, greeting=7)


def test_build_seeds_chance_unless_told_otherwise() -> None:
    chance = Random(7)
    drawn = [build(HTTPCache).context.random.random() for _ in range(2)]

    assert drawn[0] == drawn[1]
    assert build(HTTPCache, random=chance).context.random is chance


def test_build_takes_a_whole_context() -> None:
    context = Context(route="orders")

    assert build(HTTPCache, context=context).context is context


async def test_the_base_of_filters_lets_everything_pass() -> None:
    answer = Response.text("through")

    assert await build(HTTPCache)(make_request(), FakeUpstream(answer)) is answer


@pytest.mark.parametrize(
    ("context", "owner", "labels"),
    [
        (Context(service="orders"), "service orders", {"service": "orders", "route": ""}),
        (Context(route="shop"), "route shop", {"service": "", "route": "shop"}),
        (Context(), "every route", {"service": "", "route": ""}),
    ],
)
def test_a_context_tells_whose_the_plugin_is(context: Context, owner: str, labels: dict[str, str]) -> None:
    assert (context.owner, context.labels) == (owner, labels)
