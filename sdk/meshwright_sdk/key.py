"""`Key` and `Expression`: what of a request is counted, hashed or compared, as an option; using it goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from hashlib import blake2b
from types import CodeType
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from meshwright_sdk.errors import PluginError
from meshwright_sdk.template import KINDS, WORDS, Template

if TYPE_CHECKING:
    from meshwright_sdk.request import Request

_PYTHON = "python:"
LONGEST_KEPT = 128
"""Characters of a key that is kept as it is."""


class Expression:
    """A Python expression over `request`, compiled once, such as `request.headers.get("x-plan") == "gold"`.

    Whoever writes the YAML may run any code in the gateway (plugins are code), so nothing is fenced off; the built-in
    functions are there, statements and imports are not. Raises ValueError for what is no expression.
    """

    __slots__ = ("_code", "text")

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        try:
            self._code: CodeType = compile(self.text, "<expression>", "eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = error.msg if isinstance(error, SyntaxError) else error
            raise ValueError(f"expected a Python expression over `request` ({why}); got {text!r}") from None

    def evaluate(self, request: Request) -> Any:
        """Return its value for `request`; raises PluginError, with the expression, for whatever it raises."""
        try:
            return eval(self._code, {"request": request})  # noqa: S307 - it is part of the configuration, as plugins are
        except Exception as error:
            raise PluginError(f"expression {self.text!r}: {type(error).__name__}: {error}") from error


class Key:
    """What of a request says which of many it belongs to; usable as an option's type.

    Written `client`, `route`, `subject`, `header:NAME`, `cookie:NAME`, `query:NAME`, `param:NAME`, `claim:NAME` (the
    words of `Template`), as a text with several of them in braces (`{client}/{route}`), or as a Python expression
    (`python: request.path.split("/")[1]`), whose value is turned into text. `of(request)` returns the text, empty for
    what the request does not have.
    """

    __slots__ = ("of", "text")

    of: Callable[[Request], str]

    def __init__(self, text: str | Key) -> None:
        self.text = str(text)
        if not self.text:
            raise _no_key(self.text)
        if self.text.startswith(_PYTHON):
            expression = Expression(self.text.removeprefix(_PYTHON))
            self.of = lambda request: str(expression.evaluate(request))
        else:
            self.of = _compiled(self.text)

    def kept_of(self, request: Request) -> str:
        """Return what to keep something of the request under: the text, or for a long one its digest.

        Clients write what is in keys, up to the length of a head; a hundred thousand of these would fill the memory.
        """
        text = self.of(request)
        return text if len(text) <= LONGEST_KEPT else _digest(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Key({self.text!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate by the constructor; write it as text."""

        def make(value: Any) -> Key:
            if not isinstance(value, str | Key):
                raise PydanticKnownError("string_type")
            return cls(value)

        return core_schema.no_info_plain_validator_function(make, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text form."""
        return {"type": "string", "examples": ["client", "header:x-tenant", "claim:sub", "{client}/{route}"]}


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()


def _compiled(text: str) -> Callable[[Request], str]:
    try:
        template = Template(text if "{" in text else f"{{{text}}}")
    except ValueError:
        if "{" in text:
            raise
        raise _no_key(text) from None
    if template.constant is not None:
        raise _no_key(text)
    return template.getter or template.render


def _no_key(text: str) -> ValueError:
    words, kinds = {word: word for word in WORDS}, {kind: f"{kind}:NAME" for kind in KINDS}
    word, colon, _ = text.partition(":")
    near = kinds if colon else kinds | words
    close = get_close_matches(word, near, n=1, cutoff=0.75)
    hint = f" (did you mean {near[close[0]]}?)" if close else ""
    known = ", ".join((*words, *kinds.values()))
    return ValueError(f"expected {known}, several {{of:them}} or {_PYTHON} EXPRESSION{hint}; got {text!r}")
