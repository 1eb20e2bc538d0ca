"""The commands and their options.  A command imports what it needs in its body, so that ``--help`` is quick.

Exit codes: 0 done; 1 failed; 2 called wrongly; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import NoReturn

import click

from . import INTERRUPTED
from .cluster import cluster
from .groups import NamingGroup
from .keygen import keygen
from .node import node


@click.group(cls=NamingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(metadata.version("trouper"), prog_name="trouper")
def trouper() -> None:
    """Typed, supervised actors for Python."""


@trouper.command()
@click.option(
    "--input",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Count every text file below this folder.  [default: the .py files of Python's standard library]",
)
@click.option("--actors", type=click.IntRange(1, 1_000), default=4, show_default=True, help="Actors that count.")
@click.option(
    "--workers",
    type=click.IntRange(min=0, max=128),
    default=0,
    show_default=True,
    help="Worker processes to spread them over; one is killed midway.",
)
@click.option("--top", type=click.IntRange(min=0), default=15, show_default=True, help="Rows of the table.")
@click.option("--no-chaos", is_flag=True, help="Cause no failure midway.")
@click.option("--verify", is_flag=True, help="Count again without actors, and compare.")
def demo(folder: Path | None, actors: int, workers: int, top: int, *, no_chaos: bool, verify: bool) -> None:
    """Count identifiers with a pool of supervised actors.

    One of them is made to crash midway; with --workers a whole worker process is killed with SIGKILL.  The files are
    those of Python's standard library, or all text files below the folder given by --input; files that are no text,
    or too large, are skipped with a reason.
    """
    from .demo.progress import show_demo

    options = {"actors": actors, "workers": workers, "top": top}
    raise SystemExit(show_demo(folder, **options, chaos=not no_chaos, verify=verify))


@trouper.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(script: Path, arguments: tuple[str, ...]) -> None:
    """Run the `async def main()` of a script.

    SCRIPT is run as python runs it, and then its `main` on Trouper's loop, which is uvloop where that is installed.
    A script whose own top-level code uses `main`, as `trouper.run(main)` does, runs it itself.
    ARGUMENTS become the script's sys.argv[1:].
    """
    from .script import NoMain, run_script

    try:
        raise SystemExit(run_script(script, arguments))
    except NoMain as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        _interrupted()


@trouper.command()
@click.argument("workloads", nargs=-1)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Samples of each work.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False), help="Write every sample to this file.")
def bench(workloads: tuple[str, ...], rounds: int, json_path: str | None) -> None:
    """Measure Trouper on this machine.

    WORKLOADS are names of workloads, all when there are none; a wrong name is answered with those that there are.
    """
    from .bench import bench as run_bench

    try:
        run_bench(list(workloads), rounds, json_path)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        _interrupted()


@trouper.command()
def doctor() -> None:
    """Show what this machine offers and lacks."""
    from .doctor import show_doctor

    show_doctor()


trouper.add_command(cluster)
trouper.add_command(keygen)
trouper.add_command(node)


def _interrupted() -> NoReturn:
    click.echo("interrupted", err=True)
    raise SystemExit(INTERRUPTED)
