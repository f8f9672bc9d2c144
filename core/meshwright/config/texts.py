"""The kinds of text that the gateway's own YAML has, as types for its models; each refuses in one sentence."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from meshwright_sdk.tokens import TOKEN

_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_MODE = re.compile(r"0?[0-7]{3}")
_SEGMENT = re.compile(r"[^{}*]*|\{[A-Za-z_][A-Za-z0-9_]*\}")
_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PATH_FORMS = "a path such as /orders, /orders/* or /users/{id}"


def _name(text: str) -> str:
    if not text or any(char.isspace() or not char.isprintable() for char in text):
        raise ValueError(f"expected a name without spaces; got {text!r}")
    return text


def _host(text: str) -> str:
    host = text.lower()
    if not _HOST.fullmatch(host):
        raise ValueError(f"expected a host such as shop.example.com or *.example.com, without a port; got {text!r}")
    return host


def _host_name(text: str) -> str:
    if not _HOST.fullmatch(text.lower()) or text.startswith(("*", "[")):
        raise ValueError(f"expected a name such as orders.example.com; got {text!r}")
    return text.lower()


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise ValueError(f'expected permissions such as "0660", in quotes; got {text!r}')
    return text


def _tls_version(value: object) -> object:
    """Take 1.2 without quotes too, which YAML reads as a number."""
    return str(value) if isinstance(value, float) else value


def _path(text: str) -> str:
    segments = text.split("/")[1:]
    prefix = segments[:-1] if segments[-1:] == ["*"] else segments
    names = [segment for segment in prefix if segment.startswith("{")]
    if not text.startswith("/") or not all(map(_SEGMENT.fullmatch, prefix)) or re.search(r"[?#\s]", text):
        raise ValueError(f"expected {_PATH_FORMS}; got {text!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"expected each name once in a path; got {text!r}")
    return text


def _method(text: str) -> str:
    if not TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(f"expected a method in capitals, such as GET; got {text!r}")
    return text


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise ValueError(f"expected a name of letters, digits and hyphens; got {text!r}")
    return text


def _object(text: str) -> str:
    if not _OBJECT.fullmatch(text):
        raise ValueError(f"expected an import path such as shop.api:app; got {text!r}")
    return text


Name = Annotated[str, AfterValidator(_name)]
"""What something in the configuration is called; it stands in metrics, logs and admin URLs."""
HostPattern = Annotated[str, AfterValidator(_host)]
"""A host, or `*.` and a domain for every host below it; in lower case."""
HostName = Annotated[str, AfterValidator(_host_name)]
"""A host's name, or an IPv4 address; in lower case."""
FileMode = Annotated[str, AfterValidator(_mode)]
"""Permissions of a file in octal digits, such as 0660."""
TlsVersion = Annotated[
    Literal["1.2", "1.3"],
    BeforeValidator(_tls_version),
    Field(json_schema_extra={"type": ["string", "number"], "enum": ["1.2", "1.3", 1.2, 1.3]}),
]
"""A version of TLS."""
PathPattern = Annotated[str, AfterValidator(_path)]
"""An exact path, a prefix of whole segments that ends with `/*`, or a template with `{name}` segments."""
Method = Annotated[str, AfterValidator(_method)]
"""A request method (RFC 9110, section 9.1)."""
Token = Annotated[str, AfterValidator(_token)]
"""The name of a header or cookie (RFC 9110, section 5.6.2)."""
HeaderName = Annotated[Token, AfterValidator(str.lower)]
"""The name of a header; names that differ in case alone are the same."""
ImportPath = Annotated[str, AfterValidator(_object)]
"""A module and an attribute in it."""
