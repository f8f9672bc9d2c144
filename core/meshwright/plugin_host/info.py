"""`PluginInfo`: one plugin by kind and name, imported and checked when it is first asked for; no registering here."""

from __future__ import annotations

import inspect
import re
from typing import Any

from meshwright.config.problems import KeyPath, Problem
from meshwright.plugin_host.frames import describe_failure
from meshwright.plugin_host.loading import FAILURES, LoadError, Source, import_attribute
from meshwright_sdk import (
    Balancer,
    ConfigError,
    ConfigSource,
    Context,
    Discovery,
    EndpointPolicy,
    Filter,
    Options,
    Router,
    Store,
)
from meshwright_sdk.plugin import Plugin

BASES: dict[str, type[Plugin[Any]]] = {
    "filter": Filter,
    "router": Router,
    "balancer": Balancer,
    "policy": EndpointPolicy,
    "discovery": Discovery,
    "store": Store,
    "config_source": ConfigSource,
}

_REFERENCE = re.compile(r"[\w.]+:[\w.]+")
_SENTENCE = re.compile(r"(?:([\w.\[\]]+): )?expected (.+?); got (.+)", re.DOTALL)
_PATH_PART = re.compile(r"\[(\d+)\]|\[\"([^\"]*)\"\]|([^.\[\]]+)")


class PluginInfo:
    """A plugin that can be used in the YAML.

    `offered` is the class, the decorated function, or where to import either from (`package.module:Name`).
    Whatever needs the target itself imports it, and raises ConfigError when it cannot be had or is none of its kind.
    """

    __slots__ = ("_target", "kind", "name", "offered", "source")

    def __init__(self, kind: str, name: str, source: Source, offered: object) -> None:
        self.kind = kind
        self.name = name
        self.source = source
        self.offered = offered
        self._target: Any = None

    def __repr__(self) -> str:
        return f"<PluginInfo {self.kind} {self.name}: {self.origin}>"

    @property
    def origin(self) -> str:
        """Where it comes from: `built in`, a distribution with its version, a file or module as the YAML names it."""
        return self.source.origin

    @property
    def target(self) -> Any:
        """The class or function."""
        if self._target is None:
            try:
                check(self.kind, self.offered)
                target = import_attribute(self.offered) if isinstance(self.offered, str) else self.offered
                check(self.kind, target)
            except LoadError as error:
                offer = f"as {self.kind} {self.name!r} {error.expected}"
                raise ConfigError([self.source.problem(offer, error.got, error.hint)]) from error
            self._target = target
        return self._target

    @property
    def options(self) -> type[Options] | None:
        """The model of its options; None for a function, which takes none."""
        target = self.target
        return target.Options if isinstance(target, type) and issubclass(target, Plugin) else None

    @property
    def summary(self) -> str:
        """The first line of its docstring; empty when its author wrote none."""
        return (inspect.cleandoc(self.target.__doc__ or "").splitlines() or [""])[0]

    def build(self, options: Options | None, context: Context) -> Any:
        """Return one use of the plugin; raises ConfigError at the context's place when its constructor refuses."""
        target = self.target
        model = self.options
        if model is None:
            return target
        try:
            return target(options if options is not None else model(), context)
        except FAILURES as error:
            raise ConfigError([self._refusal(error, context)]) from error

    def _refusal(self, error: BaseException, context: Context) -> Problem:
        """A ValueError is the author's message to the operator; anything else is a mistake in the plugin's code."""
        place = _key_path(context.place)
        expected = f"options that {self.kind} {self.name} accepts"
        if not isinstance(error, ValueError):
            return Problem("", None, place, expected, f"an error in its code: {describe_failure(error)}")
        said = _SENTENCE.fullmatch(str(error))
        if said is None:
            return Problem("", None, place, expected, str(error) or "a ValueError without a message")
        field, wanted, got = said.groups()
        place = place if place[-1:] == (self.name,) else (*place, self.name)
        return Problem("", None, (*place, *_key_path(field or "")), wanted, got)


def _key_path(place: str) -> KeyPath:
    """Return the place of a context, such as `routes[2].filters[0]`, in parts."""
    return tuple(int(index) if index else key or plain for index, key, plain in _PATH_PART.findall(place))


def check(kind: str, offered: object) -> None:
    """Raise LoadError when `offered` cannot be a plugin of its kind; what a string names is not looked at."""
    base = BASES[kind]
    if isinstance(offered, str):
        if _REFERENCE.fullmatch(offered) is None:
            raise LoadError("a reference such as package.module:Name", repr(offered))
    elif isinstance(offered, type):
        _check_class(base, offered)
    elif kind != "filter" or not _is_async(offered):
        functions = " or an async function" if kind == "filter" else ""
        raise LoadError(f"a class derived from {base.__name__}{functions}", repr(offered))


def _check_class(base: type[Plugin[Any]], target: type) -> None:
    if not issubclass(target, base):
        raise LoadError(f"a class derived from {base.__name__}", f"class {target.__name__}")
    if missing := sorted(getattr(target, "__abstractmethods__", ())):
        raise LoadError(f"class {target.__name__} to define {', '.join(missing)}", "none of that name")
    if not issubclass(target.Options, Options):
        raise LoadError(f"options derived from meshwright_sdk.Options in {target.__name__}", target.Options.__name__)


def _is_async(target: object) -> bool:
    call = target if inspect.isroutine(target) else getattr(target, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(call)
