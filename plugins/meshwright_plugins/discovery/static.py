"""`static`: the endpoints as they are written in the configuration; nothing that is looked up goes in here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt

from meshwright_sdk import Discovery, Instance, Options, parse_origin


def _url(text: str) -> str:
    try:
        parse_origin(text)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("url: ")) from None
    return text


class EndpointOptions(Options):
    """One endpoint."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="http://host:port, https://host:port or unix:/path; an IPv6 host is in brackets."
    )
    weight: NonNegativeInt = Field(1, description="Share of the traffic, in proportion to the other weights.")
    zone: str = Field("", description="Where it runs, for balancers that prefer what is near.")
    labels: dict[str, str] = Field({}, description="What filters and balancers may choose by, such as version: v2.")


def _from_text(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


EndpointOrUrl = Annotated[EndpointOptions, BeforeValidator(_from_text, json_schema_input_type=str | EndpointOptions)]


class StaticOptions(Options):
    """Options of static discovery."""

    endpoints: tuple[EndpointOrUrl, ...] = Field(
        description="Every endpoint of the service: its URL, or a mapping with url, weight, zone and labels."
    )


class Static(Discovery[StaticOptions]):
    """Report the endpoints that the configuration lists; they change with the configuration only."""

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield [Instance(**endpoint.model_dump()) for endpoint in self.options.endpoints]
