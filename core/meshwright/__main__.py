"""`python -m meshwright`: the command line; nothing else goes in here."""

from __future__ import annotations

from meshwright.cli import main

if __name__ == "__main__":
    main()
