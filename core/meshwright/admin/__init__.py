"""The admin API: a Starlette application on an address of its own; it reads and asks, and carries no traffic."""
