"""The built-in routers, one module each."""

from __future__ import annotations
