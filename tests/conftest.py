"""What every test shares. Fixtures that one folder needs go into a conftest of that folder."""

from __future__ import annotations

from hypothesis import settings

# How long one example takes says more about the load of the machine than about the code.
settings.register_profile("meshwright", deadline=None)
settings.load_profile("meshwright")
