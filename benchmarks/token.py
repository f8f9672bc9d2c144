"""The signed token that clients of the scenario with a full chain show, and what is needed to verify it."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode

SECRET = b"a secret of the benchmark, of 32 bytes or more"
ISSUER = "https://id.bench.example"
_EXPIRES = 4_102_444_800  # 2100-01-01


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _made() -> str:
    head = {"alg": "HS256", "typ": "JWT", "kid": "bench"}
    claims = {"iss": ISSUER, "sub": "ann", "exp": _EXPIRES}
    signed = ".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
    return f"{signed}.{_encoded(hmac.digest(SECRET, signed.encode(), 'sha256'))}"


TOKEN = _made()
"""A JWT signed with HS256 (RFC 7519)."""

KEYS = json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "kid": "bench", "k": _encoded(SECRET)}]})
"""The key as a JSON Web Key Set (RFC 7517)."""
