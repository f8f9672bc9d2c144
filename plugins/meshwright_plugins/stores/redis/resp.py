"""The words of Redis: commands as bytes (RESP), and replies that refuse one; connections go elsewhere."""

from __future__ import annotations


class Refusal(Exception):
    """A reply that is an error, such as `WRONGTYPE Operation against a key ...`."""

    @property
    def code(self) -> str:
        """Its first word, which says what kind it is."""
        return str(self).partition(" ")[0]


def pack(*words: bytes) -> bytes:
    """Return a command as it is sent: an array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])
