"""`Registration`: a registry in the making, which reads what each source offers and notes what is wrong with it."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Iterator, Mapping
from typing import Any

import pluggy

from meshwright.config.problems import Problem, did_you_mean
from meshwright.plugin_host.frames import describe_failure, place_of
from meshwright.plugin_host.info import BASES, PluginInfo, check
from meshwright.plugin_host.loading import FAILURES, LoadError, Source
from meshwright_sdk.filters import MARK
from meshwright_sdk.hooks import Hooks
from meshwright_sdk.plugin import Plugin

HOOKS = {
    "filter": "meshwright_filters",
    "router": "meshwright_routers",
    "balancer": "meshwright_balancers",
    "policy": "meshwright_policies",
    "discovery": "meshwright_discoveries",
    "store": "meshwright_stores",
    "config_source": "meshwright_config_sources",
}
"""Which hook offers the plugins of each kind."""

_PROJECT = "meshwright"


class Registration:
    """What the sources offer, and the problems; whoever finds problems drops it as a whole."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(_PROJECT)
        self.manager.add_hookspecs(Hooks)
        self.hooks = frozenset(vars(self.manager.hook))
        self.plugins: dict[tuple[str, str], PluginInfo] = {}
        self.problems: list[Problem] = []

    def take(self, source: Source) -> None:
        """Register one source and everything it offers."""
        try:
            self.manager.register(source.plugin, source.name)
        except pluggy.PluginValidationError as error:
            self._refuse(source, "hooks as the SDK defines them", " ".join(str(error).split()))
            return
        except ValueError:
            self._refuse(source, "a package name that is free", f"a second {source.name!r}")
            return
        problems = len(self.problems)
        self._check_hooks(source)
        for kind, name, offered in list(self._offers(source)):
            self._add(PluginInfo(kind, name, source, offered))
        if source.index is not None and len(self.problems) == problems and not self._is_used(source):
            got = "none that it defines itself"
            self._refuse(source, "a @filter function, a plugin class or a @hookimpl", got)

    def _is_used(self, source: Source) -> bool:
        infos = any(info.source is source for info in self.plugins.values())
        return infos or bool(self.manager.get_hookcallers(source.plugin))

    def _refuse(self, source: Source, offer: str, got: str, hint: str = "") -> None:
        self.problems.append(source.problem(offer, got, hint))

    def _check_hooks(self, source: Source) -> None:
        """Find hooks that nobody would ever call: unknown ones, and known ones without their mark."""
        for caller in self.manager.get_hookcallers(source.plugin) or ():
            for impl in caller.get_hookimpls():
                if impl.plugin is source.plugin and not caller.has_spec() and not impl.optionalhook:
                    got = f"{caller.name}{place_of(impl.function)}"
                    self._refuse(source, "a hook that exists", got, did_you_mean(caller.name, self.hooks))
        for name in self.hooks.intersection(dir(source.plugin)):
            function = getattr(source.plugin, name)
            if inspect.isroutine(function) and self.manager.parse_hookimpl_opts(source.plugin, name) is None:
                self._refuse(source, f"{name} marked with @hookimpl", f"one without it{place_of(function)}")

    def _offers(self, source: Source) -> Iterator[tuple[str, str, object]]:
        """Yield kind, name and plugin: by the kind's hook, or else as the module declares them."""
        for kind, hook in HOOKS.items():
            answer = self._hooked(source, hook)
            offered = _declared(source.plugin, kind) if answer is None else answer.items()
            yield from ((kind, name, each) for name, each in offered)

    def _hooked(self, source: Source, hook: str) -> Mapping[str, object] | None:
        """Return what a source's hook returns, or None when it does not implement it."""
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook)
        for impl in caller.get_hookimpls():
            if impl.plugin is source.plugin:
                return self._answer(source, hook, impl)
        return None

    def _answer(self, source: Source, hook: str, impl: pluggy.HookImpl) -> Mapping[str, object]:
        expected = f"a mapping of names to plugins in {hook}"
        try:
            answer: Any = impl.function()
        except FAILURES as error:
            self._refuse(source, expected, describe_failure(error))
            return {}
        if isinstance(answer, Mapping) and all(isinstance(name, str) and name for name in answer):
            return answer
        self._refuse(source, expected, f"{answer!r}{place_of(impl.function)}")
        return {}

    def _add(self, info: PluginInfo) -> None:
        """Take over one plugin unless its name is taken or it is none of its kind; what is imported later is not."""
        what = f"{info.kind} {info.name!r}"
        other = self.plugins.setdefault((info.kind, info.name), info)
        if other is not info:
            got = (
                f"{what}, which is {other.origin}"
                if other.origin == "built in"
                else f"{what}, which {other.origin} has"
            )
            self._refuse(info.source, "names that are free", got)
            return
        try:
            check(info.kind, info.offered)
        except LoadError as error:
            self._refuse(info.source, f"as {what} {error.expected}", error.got, error.hint)


def _declared(plugin: object, kind: str) -> Iterator[tuple[str, object]]:
    """Yield the plugins of a kind that a module defines itself: decorated functions, and classes that are no bases."""
    if not inspect.ismodule(plugin):
        members, home = [plugin], getattr(plugin, "__module__", None)
    else:
        members, home = list(dict.fromkeys(filter(_is_plugin, vars(plugin).values()))), plugin.__name__
    for each in members:
        if not _is_plugin(each) or each.__module__ != home:
            continue
        if isinstance(each, type) and issubclass(each, BASES[kind]):
            yield each.name, each
        elif kind == "filter" and not isinstance(each, type):
            yield getattr(each, MARK), each


def _is_plugin(member: Any) -> bool:
    """Whether it is meant to be used as a plugin; a base of plugins is private or derives from ABC itself."""
    if not isinstance(member, type):
        return inspect.isroutine(member) and hasattr(member, MARK)
    return issubclass(member, Plugin) and not member.__name__.startswith("_") and ABC not in member.__bases__
