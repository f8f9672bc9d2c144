"""The built-in policies, each written with the SDK alone."""
