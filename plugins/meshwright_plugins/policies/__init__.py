"""The built-in policies about endpoints, one file for each."""
