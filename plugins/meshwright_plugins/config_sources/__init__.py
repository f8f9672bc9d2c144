"""The built-in configuration sources, one module each."""

from __future__ import annotations
