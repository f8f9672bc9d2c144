"""The built-in balancers, one module each."""

from __future__ import annotations
