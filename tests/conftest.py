"""What every test shares. Fixtures that one folder needs go into a conftest of that folder."""
