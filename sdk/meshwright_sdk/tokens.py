"""Tokens (RFC 9110, section 5.6.2): what methods and field names are made of; their meaning goes elsewhere."""

from __future__ import annotations

import re

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""Matches a whole token with `fullmatch`."""

TOKEN_BYTES = re.compile(TOKEN.pattern.encode("ascii"))
"""The same for bytes."""
