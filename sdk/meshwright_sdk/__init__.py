"""The contracts: what a plugin author imports."""
