"""A configuration as it may be shown: defaults filled in, references as written, secrets as stars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from meshwright.config.document import Document
from meshwright.config.plugin_use import PluginUse
from meshwright.config.problems import KeyPath, without_userinfo
from meshwright.config.references import without_defaults
from meshwright.config.translate import without
from meshwright_sdk import Secret


def redacted(document: Document, config: BaseModel) -> dict[str, Any]:
    """Return the configuration as plain data for people: what was left out has its default."""
    shown: dict[str, Any] = _shown(document, config, ())
    return shown


def redacted_filters(document: Document, config: BaseModel, at: KeyPath) -> list[Any]:
    """Return the filters alone of the whole configuration, or of a route `at` its place, in the same way."""
    shown: list[Any] = _shown(document, config, at, include={"filters"}).get("filters", [])
    return shown


def _shown(document: Document, config: BaseModel, at: KeyPath, include: set[str] | None = None) -> Any:
    whole, given = (
        config.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=only_given, include=include)
        for only_given in (False, True)
    )
    parts = config if include is None else {name: getattr(config, name) for name in include}
    return _Overlay(document, hidden_values(document, parts)).shown(whole, given, at)


def hidden_values(document: Document, config: object = None) -> dict[str, str]:
    """Return every text that must not be shown, with what stands for it, longest first.

    Without a `config` nobody knows yet which values are secrets.
    """
    secrets = {secret: "***" for secret in _secrets(config) if secret}
    return _longest_first([secrets, *(reference.hidden for reference in document.references.values())])


def hidden_below(document: Document, section: str) -> dict[str | int, dict[str, str]]:
    """Return the same for each entry of a section, by its name or index: what references in it became."""
    found: dict[str | int, list[Mapping[str, str]]] = {}
    for path, reference in document.references.items():
        if len(path) > 1 and path[0] == section:
            found.setdefault(path[1], []).append(reference.hidden)
    return {entry: _longest_first(hidden) for entry, hidden in found.items()}


def _longest_first(found: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return all of it in one, so that a value goes before what is a part of it; the first says what stands for it."""
    values: dict[str, str] = {}
    for hidden in found:
        for value, instead in hidden.items():
            values.setdefault(value, instead)
    return dict(sorted(values.items(), key=lambda item: len(item[0]), reverse=True))


def hide(text: str, hidden: Mapping[str, str]) -> str:
    """Return the text without the hidden values and without users and passwords of URLs."""
    for value, instead in hidden.items():
        text = without(text, value, instead)
    return without_userinfo(text)


class _Overlay:
    """Puts what was written over what came of it, wherever a reference was written."""

    def __init__(self, document: Document, hidden: Mapping[str, str]) -> None:
        self.document = document
        self.hidden = hidden

    def shown(self, whole: Any, given: Any, path: KeyPath) -> Any:
        """Return what stands at `path`; `given` is the same as `whole` without defaults."""
        reference = self.document.references.get(path)
        if reference is not None:
            text = without_defaults(reference.written) if whole == "***" else reference.written
            return without_userinfo(text)
        if isinstance(whole, dict):
            inside = given if isinstance(given, dict) else {}
            return {key: self.shown(value, inside.get(key), (*path, key)) for key, value in whole.items()}
        if isinstance(whole, list):
            items = given if isinstance(given, list) else [None] * len(whole)
            return [self.shown(whole[index], item, (*path, index)) for index, item in enumerate(items)]
        return self.text(whole, given is None, path) if isinstance(whole, str) else whole

    def text(self, text: str, is_default: bool, path: KeyPath) -> str:
        """Return a text in which a validator may have put together what came in elsewhere."""
        as_written = self.document.holds(path) and self.document.value(path) == text
        return without_userinfo(text) if is_default or as_written else hide(text, self.hidden)


def _secrets(value: Any) -> Iterator[str]:
    """Yield the texts of the secrets in a model and in whatever it holds."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, PluginUse):
        yield from _secrets(value.options)
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from _secrets(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _secrets(inner)
