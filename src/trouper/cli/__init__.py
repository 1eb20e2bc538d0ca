"""The command line.  Nothing of it is imported before it is called, so that the works of the benchmarks stay light."""


def main() -> None:
    """Run the command that ``sys.argv`` names; always ends by ``SystemExit``."""
    from .commands import trouper

    trouper(prog_name="trouper")
