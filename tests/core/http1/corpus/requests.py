"""Every case of a request, by its name, and those that the gateway does not meet yet."""

from __future__ import annotations

from tests.core.http1.corpus.case import Case
from tests.core.http1.corpus.chunks import CHUNKED
from tests.core.http1.corpus.fields import FIELDS
from tests.core.http1.corpus.framing import FRAMING
from tests.core.http1.corpus.lines import LINES
from tests.core.http1.corpus.meanings import MEANINGS

REQUESTS: dict[str, Case] = LINES | FIELDS | FRAMING | CHUNKED | MEANINGS

_SPACES = "the parser takes several spaces between the parts of the request line"
_BARE = "the parser takes a bare CR or LF in front of a request line"
_PROTOCOL = "the parser takes other protocols' names for HTTP/1.0"
_UNDERSCORE = "a field goes on that CGI-like upstreams take for the framing"
_HUGE = "a chunk of 2^63 bytes and more is waited for"
_EXTENSION = "the parser takes chunk extensions that the grammar does not know"
_WHOLE = "what stands between two chunks is not bounded within one read"
_CLOSE = "the parser takes the field for Connection: close"

KNOWN: dict[str, str] = {
    "request line: two spaces before the target": _SPACES,
    "request line: two spaces after the target": _SPACES,
    "request line: bare line feed before": _BARE,
    "request line: bare carriage return before": _BARE,
    "sequence: bare line feed between": _BARE,
    "version: ICE with its method": _PROTOCOL,
    "version: RTSP": _PROTOCOL,
    "content-length: named by an underscore": _UNDERSCORE,
    "transfer-encoding: named by an underscore": _UNDERSCORE,
    "transfer-encoding: spaces and tabs": "the parser takes no tab behind the coding",
    "chunk size: top bit": _HUGE,
    "chunk size: all bits": _HUGE,
    "chunk size: too many zeros": "the digits of a chunk size are not counted",
    "chunk extension: without a name, with a value": _EXTENSION,
    "chunk extension: without a value": _EXTENSION,
    "chunk extension: two semicolons": _EXTENSION,
    "chunk extension: too long": _WHOLE,
    "trailer: too long": _WHOLE,
    "trailer: connection": _CLOSE,
    "hop: Proxy-Connection": _CLOSE,
}
"""What is not yet as it has to be, and why."""
