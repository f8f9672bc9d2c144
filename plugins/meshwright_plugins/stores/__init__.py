"""The built-in stores, one module each."""

from __future__ import annotations
