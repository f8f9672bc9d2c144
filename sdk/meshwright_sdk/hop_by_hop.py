"""The fields that end with one connection; a filter neither sets nor sees them, and dropping them goes elsewhere."""

from __future__ import annotations

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""Fields that end at this hop (RFC 9110, section 7.6.1); those that `Connection` names end here too."""

ENDING_HERE = HOP_BY_HOP | {b"expect", b"http2-settings"}
"""These, and the fields that the gateway answers itself in place of passing them on."""
