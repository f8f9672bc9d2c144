"""`respond`: a fixed answer in place of a service. Nothing that depends on the request goes in here."""

from __future__ import annotations

import json
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from meshwright_sdk import Body, CallNext, Context, Filter, HeaderFields, Headers, Options, Request, Response

_WITHOUT_BODY = frozenset((204, 205, 304))


def _finite(value: JsonValue) -> JsonValue:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("expected numbers that JSON has; got one that is infinite or none") from None
    return value


class RespondOptions(Options):
    """The answer."""

    model_config = ConfigDict(serialize_by_alias=True)

    status: Annotated[int, Field(strict=True, ge=200, le=599)] = Field(200, description="The status, 200 to 599.")
    headers: HeaderFields = Field({}, description="Headers of the answer; a content-type here replaces the usual one.")
    text: str | None = Field(None, description="The content as text, sent as text/plain in UTF-8.")
    json_: Annotated[JsonValue, AfterValidator(_finite)] = Field(
        None, alias="json", description="The content as JSON, written as YAML."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = self.model_fields_set & {"text", "json_"}
        if len(given) == 2:
            raise ValueError("expected one of text and json; got both")
        if given and self.status in _WITHOUT_BODY:
            raise ValueError(f"expected no text or json with status {self.status}, which has no content; got one")
        return self


class Respond(Filter[RespondOptions]):
    """Give a fixed answer, without calling the rest of the chain or any service.

    The content is `text` or `json`, or nothing. It suits maintenance pages, blocked paths and stand-ins for a
    service that is not there yet.

    Example:
        filters:
          - respond: {status: 503, json: {error: maintenance}, headers: {retry-after: "600"}}
    """

    def __init__(self, options: RespondOptions, context: Context) -> None:
        super().__init__(options, context)
        content_type, self._data = _content(options)
        defaults = {"content-type": content_type} if content_type else {}
        self._fields = Headers(defaults | options.headers).raw
        self._status = options.status

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        return Response(self._status, Headers.from_raw(self._fields.copy()), Body(self._data))


def _content(options: RespondOptions) -> tuple[str, bytes]:
    if "json_" in options.model_fields_set:
        return "application/json", json.dumps(options.json_, separators=(",", ":")).encode()
    if options.text is not None:
        return "text/plain; charset=utf-8", options.text.encode()
    return "", b""
