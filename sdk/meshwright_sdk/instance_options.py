"""`InstanceOptions`: an instance of a service as somebody writes it down; who finds instances goes elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from meshwright_sdk.balancing import Instance, parse_origin
from meshwright_sdk.plugin import Options
from meshwright_sdk.shorthand import TextFor


def _origin(text: str) -> str:
    try:
        parse_origin(text)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("url: ")) from None
    return text


Weight = Annotated[int, Field(ge=0, le=1_000_000)]
"""A share, in proportion to the other weights."""


class InstanceOptions(Options):
    """One instance of a service."""

    url: Annotated[str, AfterValidator(_origin)] = Field(
        description="http://host:port, https://host:port or unix:/path; an IPv6 host is in brackets."
    )
    weight: Weight = Field(1, description="Share of the traffic, in proportion to the other weights.")
    zone: str = Field("", description="Where it runs, for balancers that prefer what is near.")
    labels: dict[str, str] = Field({}, description="What filters and balancers may choose by, such as version: v2.")

    def instance(self) -> Instance:
        """Return the instance."""
        return Instance(url=self.url, weight=self.weight, zone=self.zone, labels=self.labels)


InstanceOrUrl = Annotated[InstanceOptions, TextFor("url", "an endpoint's URL")]
"""An instance; just a text means its `url`."""
