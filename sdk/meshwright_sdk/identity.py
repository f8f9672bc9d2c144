"""`Identity`: who a request speaks for, as an authenticating filter found it; no verification goes in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The authenticated caller of a request.

    `method` names how it was established ("jwt", "mtls", "api_key"); `issuer` who vouches for it.
    """

    subject: str
    method: str
    issuer: str | None = None
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
