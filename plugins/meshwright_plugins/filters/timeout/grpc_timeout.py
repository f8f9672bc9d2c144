"""The field `grpc-timeout`, read and written; which deadline it becomes is decided elsewhere.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: one to eight digits and a unit.
"""

from __future__ import annotations

import re
from math import inf

_VALUE = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MOST = 10**8


def read_grpc_timeout(value: bytes) -> float:
    """Return the time in seconds, endless for what is no valid value."""
    parts = _VALUE.fullmatch(value)
    return int(parts[1]) * _UNITS_S[parts[2]] if parts is not None else inf


def write_grpc_timeout(seconds: float) -> bytes:
    """Return the value for a time of at most a century, in the smallest unit from microseconds up that fits.

    What is left of the time is rounded down, so that nobody is promised more of it than there is.
    """
    unit = next((each for each in (b"u", b"m", b"S") if seconds < _MOST * _UNITS_S[each]), b"M")
    return b"%d%b" % (seconds / _UNITS_S[unit], unit)
