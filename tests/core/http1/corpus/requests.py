"""Every case of a request, by its name."""

from __future__ import annotations

from tests.core.http1.corpus.case import Case
from tests.core.http1.corpus.chunks import CHUNKED
from tests.core.http1.corpus.fields import FIELDS
from tests.core.http1.corpus.framing import FRAMING
from tests.core.http1.corpus.lines import LINES
from tests.core.http1.corpus.meanings import MEANINGS

REQUESTS: dict[str, Case] = LINES | FIELDS | FRAMING | CHUNKED | MEANINGS
