"""The command line.  Nothing of it is imported before it is called, so that the works of the benchmarks stay light."""

INTERRUPTED = 130
"""The exit code of a program that SIGINT ended, as shells report it."""
TERMINATED = 143
"""The exit code of a program that SIGTERM ended."""


def main() -> None:
    """Run the command that ``sys.argv`` names; always ends by ``SystemExit``."""
    from .commands import trouper

    trouper(prog_name="trouper")
