"""``python -m trouper``: the command line, the same as ``trouper``."""

from .cli import main

main()
