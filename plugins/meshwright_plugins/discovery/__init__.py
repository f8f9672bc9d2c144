"""The built-in discoveries, one module each."""

from __future__ import annotations
