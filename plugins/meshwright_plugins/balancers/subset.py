"""`subset`: among the endpoints whose labels are those asked for; routing by version goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Literal, Self

from annotated_types import Len
from pydantic import Field, model_validator

from meshwright_sdk import Context, Endpoint, Options, Pair, PreparedBalancer, Request, Template

_MOST_LABELS = 4
"""Each endpoint belongs to 2 to the power of this many subsets."""


class SubsetOptions(Options):
    """Which endpoints will do."""

    labels: Annotated[dict[str, Template], Len(1, _MOST_LABELS)] = Field(
        description="What labels to ask for: a value such as gold, or what the request says, such as "
        "'{header:x-version}'. A label whose value comes out empty is not asked for."
    )
    fallback: Literal["any", "none", "default"] = Field(
        "any",
        description="What a request gets that asks for nothing, or for what no endpoint has: any endpoint, none (503), "
        "or one with the labels of default.",
    )
    default: dict[str, str] = Field({}, description="Labels of the endpoints that fallback means by default.")

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if bool(self.default) != (self.fallback == "default"):
            raise ValueError("default: expected labels with `fallback: default`, and only with it")
        return self


class _Subsets:
    """A list of endpoints by what may be asked for, and the pairs of those that were."""

    __slots__ = ("fallback", "members", "pairs")

    def __init__(self, members: Mapping[tuple[str, ...], list[Endpoint]], fallback: Pair | None) -> None:
        self.members = members
        self.fallback = fallback
        self.pairs: dict[tuple[str, ...], Pair] = {}


class Subset(PreparedBalancer[SubsetOptions, _Subsets]):
    """Choose among the endpoints that have every label asked for, as `two_choices` does.

    The labels are those of the instances, as the YAML or discovery gives them. An endpoint that is ejected, or has the
    weight 0, does not count; when that leaves nobody, `fallback` says what happens.

    Example:
        balancer: {subset: {labels: {version: "{header:x-version}"}, fallback: default, default: {version: stable}}}
    """

    def __init__(self, options: SubsetOptions, context: Context) -> None:
        super().__init__(options, context)
        self._names = tuple(options.labels)
        self._asked = tuple(template.getter or template.render for template in options.labels.values())

    def prepare(self, endpoints: Sequence[Endpoint]) -> _Subsets:
        weighty = [endpoint for endpoint in endpoints if endpoint.weight] or endpoints
        alike: dict[tuple[str, ...], list[Endpoint]] = {}
        for endpoint in weighty:
            labels = endpoint.instance.labels
            alike.setdefault(tuple([labels.get(name, "") for name in self._names]), []).append(endpoint)
        members: dict[tuple[str, ...], list[Endpoint]] = {}
        for values, same in alike.items():
            for asked in product(*({"", value} for value in values)):
                members.setdefault(asked, []).extend(same)
        members.pop(("",) * len(self._names))  # who asks for nothing
        return _Subsets(members, self._fallback(weighty))

    def choose(self, prepared: _Subsets, request: Request) -> Endpoint | None:
        asked = tuple([of(request) for of in self._asked])
        pair = prepared.pairs.get(asked)
        if pair is None:
            members = prepared.members.get(asked)
            if members is None:
                return prepared.fallback.less_loaded() if prepared.fallback else None
            pair = prepared.pairs[asked] = Pair(members, self.context.random)
        return pair.less_loaded()

    def _fallback(self, endpoints: Sequence[Endpoint]) -> Pair | None:
        if self.options.fallback == "none":
            return None
        if default := self.options.default.items():
            endpoints = [endpoint for endpoint in endpoints if default <= endpoint.instance.labels.items()]
        return Pair(endpoints, self.context.random) if endpoints else None
