"""From text to a checked configuration, with every problem told at once; plugins are found and built elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from meshwright.config.checks import cross_problems
from meshwright.config.document import Document
from meshwright.config.fields import misread
from meshwright.config.model import GatewayConfig
from meshwright.config.plugin_use import OptionsOf
from meshwright.config.problems import KeyPath, Problem, config_error, quoted
from meshwright.config.reach import Unreachable, unreachable
from meshwright.config.redaction import hidden_below, hidden_values, hide, redacted, redacted_filters
from meshwright.config.service_names import no_way_leads_back, services_are_there
from meshwright.config.tls_warnings import tls_warnings
from meshwright.config.translate import PLUGIN_OPTIONS, Scope

Hide: TypeAlias = Callable[[str | int, str], str]
"""Given an entry's name or index and a text about it, returns the text as it may be shown."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration without problems, and the document it came from."""

    config: GatewayConfig
    document: Document

    @property
    def files(self) -> frozenset[Path]:
        """The files that references named; a change of one is a change of the configuration."""
        return self.document.files

    def redacted(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, without secrets and with references as written."""
        return redacted(self.document, self.config)

    def redacted_filters(self, route: int | None = None) -> list[Any]:
        """Return the filters of a route, or without one those of every route, in the same way and much sooner."""
        if route is None:
            return redacted_filters(self.document, self.config, ())
        return redacted_filters(self.document, self.config.routes[route], ("routes", route))

    def redacted_filters_of(self, service: str) -> list[Any]:
        """Return the filters of a service in the same way."""
        return redacted_filters(self.document, self.config.services[service], ("services", service))

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of the value at `path`, or of the nearest one around it."""
        return self.document.line_of(path)

    def problem(self, path: KeyPath, expected: str, got: str, hint: str = "") -> Problem:
        """Return a problem with the value at `path`, found while it was put to use."""
        return self.located(Problem("", None, path, expected, got, hint))

    def located(self, problem: Problem) -> Problem:
        """Return a problem that was found later, with file and line, and without hidden values in it."""
        return located(self.document, problem, self.config)

    def pieces(self) -> list[object]:
        """Return what most of its memory is in, for whoever frees it bit by bit."""
        return [*self.config.routes, *self.config.services.values(), *self.document.pieces()]

    def warnings(self) -> Sequence[Problem]:
        """Return what is right and still hardly meant: routes that no request can reach, TLS that protects nothing."""
        routes = [self._warning(found) for found in unreachable(self.config)]
        return [*routes, *(self.problem(*warned) for warned in tls_warnings(self.config))]

    def _warning(self, found: Unreachable) -> Problem:
        place: KeyPath = ("routes", found.taken_by)
        by = f"{quoted(self.config.routes[found.taken_by].name or '')} (line {self.line_of(place)})"
        hint = "on one host a path_regex comes after every path" if found.is_after_prefix else ""
        expected = "a route that some request can reach"
        return self.document.problem(("routes", found.route), expected, f"one whose requests all go to {by}", hint)

    def hiding(self, section: str) -> Hide:
        """Return what takes out of a text about an entry of `routes` or `services` what references in it became."""
        below = hidden_below(self.document, section)
        return lambda entry, text: hide(text, below.get(entry, {}))


def located(document: Document, problem: Problem, config: GatewayConfig | None = None) -> Problem:
    """Return a problem that somebody else found in the document, with file and line, and without hidden values."""
    hidden = hidden_values(document, config)
    return replace(
        problem,
        file=document.file,
        line=document.line_of(problem.path),
        expected=hide(problem.expected, hidden),
        got=hide(problem.got, hidden),
        hint=hide(problem.hint, hidden),
    )


def plugin_entries(document: Document) -> tuple[str, ...]:
    """Return the files and modules that the document names under `plugins`, as far as they are texts.

    Entries that are none keep their place as an empty text; `validate` tells of them.
    """
    entries = document.get("plugins")
    listed = entries if isinstance(entries, list) else []
    return tuple(
        entry if isinstance(entry, str) and not document.is_unresolved(("plugins", index)) else ""
        for index, entry in enumerate(listed)
    )


def validate(document: Document, options_of: OptionsOf) -> LoadedConfig:
    """Check a document, with the options of its plugins; raises ConfigError with every problem in it."""
    config, problems = _checked(document, options_of)
    if config is None or problems:
        raise config_error(problems)
    return LoadedConfig(config, document)


def problems_beside_plugins(document: Document) -> Sequence[Problem]:
    """Return what is wrong with a document apart from names and options of plugins, for when those can't be had."""
    return _checked(document, None)[1]


def _checked(document: Document, options_of: OptionsOf | None) -> tuple[GatewayConfig | None, Sequence[Problem]]:
    config, problems = _modelled(document, options_of)
    found = [*document.problems, *problems, *cross_problems(document)]
    if config is not None:
        found += [*services_are_there(document, config), *no_way_leads_back(document, config)]
    return config, found


def _modelled(document: Document, options_of: OptionsOf | None) -> tuple[GatewayConfig | None, Iterable[Problem]]:
    """Return the model of the document, or the problems that stand in its way."""
    config, errors = _validated(document.data, options_of)
    texts = {path for path in _places(errors) if _became_no_text(document, path)}
    if texts:
        # A reference without quotes gave a number where a text may be wanted: `${TOKEN}` may be all digits.
        config, errors = _validated(document.with_texts(texts), options_of)
    return config, Scope(document, GatewayConfig).problems(errors)


def _validated(data: Any, options_of: OptionsOf | None) -> tuple[GatewayConfig | None, Sequence[ErrorDetails]]:
    errors = list(misread(GatewayConfig, data))
    try:
        return GatewayConfig.model_validate(data, context=options_of), errors
    except ValidationError as error:
        return None, [*errors, *error.errors(include_url=False)]


def _places(errors: Iterable[ErrorDetails], at: KeyPath = ()) -> Iterable[KeyPath]:
    for error in errors:
        path = (*at, *error["loc"])
        if error["type"] == PLUGIN_OPTIONS:
            yield from _places(error["ctx"]["errors"], (*path, error["ctx"]["name"]))
        yield path


def _became_no_text(document: Document, path: KeyPath) -> bool:
    reference = document.references.get(path)
    return reference is not None and not reference.quoted and not isinstance(document.value(path), str)
