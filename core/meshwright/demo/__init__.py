"""The demo: a small shop and a gateway in front of it. The program itself imports nothing from here."""
