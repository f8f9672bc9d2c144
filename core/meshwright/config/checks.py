"""Rules between values of different places, on the plain data: they tell all, also beside errors of the models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from meshwright.config.bind import Bind
from meshwright.config.document import Document
from meshwright.config.model import GatewayConfig
from meshwright.config.problems import KeyPath, Problem, did_you_mean, format_path, listed
from meshwright.config.sections import mapping, mappings, values
from meshwright.config.tls_checks import listener_tls_is_whole, service_tls_is_whole
from meshwright_sdk import Origin, parse_origin

Rule = Callable[[Document], Iterator[Problem]]


def cross_problems(document: Document) -> Iterator[Problem]:
    """Yield what is wrong between values. Values of a wrong type are passed over: the models tell of those."""
    for rule in RULES:
        for problem in rule(document):
            if not document.is_unresolved(problem.path):
                yield problem


def names_are_unique(document: Document) -> Iterator[Problem]:
    for section in ("listeners", "routes"):
        first: dict[str, KeyPath] = {}
        for path, item in mappings(document.get(section), (section,)):
            name = item.get("name")
            if isinstance(name, str):
                yield from _once(document, (*path, "name"), name, first)


def _once(document: Document, path: KeyPath, name: str, first: dict[str, KeyPath]) -> Iterator[Problem]:
    if name in first:
        hint = f"the first one is in line {document.line_of(first[name])}"
        yield document.problem(path, "a name that no other has", hint=hint)
    first.setdefault(name, path)


def addresses_are_free(document: Document) -> Iterator[Problem]:
    seen: list[tuple[KeyPath, Bind]] = []
    for path, bind in _addresses(document):
        taken_by = next((other_path for other_path, other in seen if bind.overlaps(other)), None)
        if taken_by is not None:
            yield document.problem(path, "an address that nothing else takes", hint=f"see {format_path(taken_by)}")
        seen.append((path, bind))


def _addresses(document: Document) -> Iterator[tuple[KeyPath, Bind]]:
    """Yield every address with its path; first the admin API's where it is the default, which has no place."""
    path = ("admin", "bind")
    admin = document.get("admin", {})
    if isinstance(admin, dict) and "bind" not in admin:
        yield path, GatewayConfig().admin.bind
    sections = [*mappings(document.get("listeners"), ("listeners",)), *mapping(admin, ("admin",))]
    for section_path, section in sections:
        bind = _bind(section)
        if bind is not None:
            yield (*section_path, "bind"), bind


def only_files_have_modes(document: Document) -> Iterator[Problem]:
    for path, listener in mappings(document.get("listeners"), ("listeners",)):
        bind = listener.get("bind")
        if listener.get("mode") is not None and isinstance(bind, str) and not bind.startswith("unix:"):
            yield document.problem((*path, "mode"), "a mode where bind is unix:/path alone")


def admin_is_guarded(document: Document) -> Iterator[Problem]:
    for path, admin in mapping(document.get("admin"), ("admin",)):
        bind = _bind(admin)
        if bind is not None and not bind.is_local and not admin.get("token"):
            got = f"{document.shown((*path, 'bind'))} without a token"
            hint = "add admin.token, or bind it to 127.0.0.1"
            yield document.problem((*path, "bind"), "a token where others can reach the admin API", got, hint)


def routes_lead_somewhere(document: Document) -> Iterator[Problem]:
    services = document.get("services")
    known = list(services) if isinstance(services, dict) else []
    for path, route in mappings(document.get("routes"), ("routes",)):
        targets = list(_targets(route.get("to"), (*path, "to")))
        for place, name in targets:
            if name not in known:
                expected = f"one of the services {listed(known)}" if known else "a service, and there is none"
                hint = did_you_mean(name, known)
                yield document.problem(place, expected, hint=hint)
        if not route.get("to") and not route.get("filters") and not document.get("filters"):
            yield document.problem(path, "a service in `to`, or a filter that answers", "neither")


def weights_leave_a_service(document: Document) -> Iterator[Problem]:
    for path, route in mappings(document.get("routes"), ("routes",)):
        targets = [target for _, target in mappings(route.get("to"), ())]
        if targets and all(target.get("weight", 1) == 0 for target in targets):
            yield document.problem((*path, "to"), "a weight above 0", "only weights of 0")


def sticky_needs_a_choice(document: Document) -> Iterator[Problem]:
    for path, route in mappings(document.get("routes"), ("routes",)):
        if route.get("sticky") is not None and not (isinstance(route.get("to"), list) and len(route["to"]) > 1):
            yield document.problem((*path, "sticky"), "several services in `to`", "one or none")


def endpoints_are_unique(document: Document) -> Iterator[Problem]:
    for path, service in values(document.get("services"), ("services",)):
        first: dict[Origin, KeyPath] = {}
        for place, origin in _origins(service.get("endpoints"), (*path, "endpoints")):
            if origin in first:
                hint = f"the first one is in line {document.line_of(first[origin])}; for more traffic give it a weight"
                yield document.problem(place, "an endpoint that the service has once", hint=hint)
            first.setdefault(origin, place)


def policies_are_unique(document: Document) -> Iterator[Problem]:
    for path, service in values(document.get("services"), ("services",)):
        uses = service.get("policies")
        first: dict[str, KeyPath] = {}
        for index, use in enumerate(uses if isinstance(uses, list) else ()):
            name = next(iter(use), None) if isinstance(use, dict) else use
            place = (*path, "policies", index)
            if isinstance(name, str) and name in first:
                hint = f"the first one is in line {document.line_of(first[name])}"
                yield document.problem(place, "a policy that the service has once", name, hint)
            elif isinstance(name, str):
                first[name] = place


def alternatives_exclude_each_other(document: Document) -> Iterator[Problem]:
    for path, route in mappings(document.get("routes"), ("routes",)):
        for inner, match in mapping(route.get("match"), (*path, "match")):
            if "path" in match and "path_regex" in match:
                yield document.problem(inner, "path or path_regex", "both")
            for kind in ("headers", "query", "cookies"):
                for place, condition in values(match.get(kind), (*inner, kind)):
                    yield from _exactly_one(document, place, condition, ("exact", "regex", "present"))
        for inner, sticky in mapping(route.get("sticky"), (*path, "sticky")):
            yield from _exactly_one(document, inner, sticky, ("cookie", "header"))
    for path, service in values(document.get("services"), ("services",)):
        yield from _exactly_one(document, path, service, ("endpoints", "discovery", "app"))


def _exactly_one(document: Document, path: KeyPath, section: dict[str, Any], keys: Sequence[str]) -> Iterator[Problem]:
    present = [key for key in keys if section.get(key) is not None]
    if len(present) != 1:
        got = listed(present, "and") if present else "none of them"
        yield document.problem(path, f"exactly one of {listed(keys)}", got)


RULES: tuple[Rule, ...] = (
    names_are_unique,
    addresses_are_free,
    admin_is_guarded,
    routes_lead_somewhere,
    weights_leave_a_service,
    sticky_needs_a_choice,
    endpoints_are_unique,
    policies_are_unique,
    alternatives_exclude_each_other,
    listener_tls_is_whole,
    service_tls_is_whole,
    only_files_have_modes,
)


def _targets(to: Any, path: KeyPath) -> Iterable[tuple[KeyPath, str]]:
    """Yield the names of services that a route goes to, with their paths."""
    if isinstance(to, str):
        yield path, to
    for index, item in enumerate(to if isinstance(to, list) else ()):
        name = item.get("service") if isinstance(item, dict) else item
        if isinstance(name, str):
            yield ((*path, index, "service") if isinstance(item, dict) else (*path, index)), name


def _origins(endpoints: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Origin]]:
    """Yield where the endpoints of a list are, with their paths; `http://a` and `http://a:80` are the same."""
    for index, item in enumerate(endpoints if isinstance(endpoints, list) else ()):
        url = item.get("url") if isinstance(item, dict) else item
        with suppress(ValueError):
            if isinstance(url, str):
                yield ((*path, index, "url") if isinstance(item, dict) else (*path, index)), parse_origin(url)


def _bind(section: dict[str, Any]) -> Bind | None:
    try:
        return Bind.parse(section["bind"])
    except (KeyError, ValueError):
        return None
