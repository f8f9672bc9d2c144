"""What lies below HTTP on the gateway's connections: sockets, TLS and the PROXY protocol; no message is read here."""

from __future__ import annotations
