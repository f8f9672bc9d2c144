"""HTTP/1.1 on both sides of the gateway; nothing about routes, services or plugins goes in here."""
