"""`FixedAnswer`: an answer that is written in the YAML; when it is given goes elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, model_validator

from meshwright_sdk.body import Body
from meshwright_sdk.fields import HeaderFields
from meshwright_sdk.headers import Headers
from meshwright_sdk.plugin import Options
from meshwright_sdk.response import Response

_WITHOUT_BODY = frozenset((204, 205, 304))


def _finite(value: JsonValue) -> JsonValue:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("expected numbers that JSON has; got one that is infinite or none") from None
    return value


class FixedAnswer(Options):
    """A status, headers, and content as text or JSON."""

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

    def compiled(self) -> Callable[[], Response]:
        """Return what makes the response, a new one each time, from bytes that are made now."""
        content_type, data = self._content()
        fields = Headers(({"content-type": content_type} if content_type else {}) | self.headers).raw
        status = self.status
        return lambda: Response(status, Headers.from_raw(fields.copy()), Body(data))

    def _content(self) -> tuple[str, bytes]:
        if "json_" in self.model_fields_set:
            return "application/json", json.dumps(self.json_, separators=(",", ":")).encode()
        if self.text is not None:
            return "text/plain; charset=utf-8", self.text.encode()
        return "", b""
