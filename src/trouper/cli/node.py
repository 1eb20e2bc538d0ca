"""``trouper node``: run a node until it is told to end, with the actors of an application or as room for others'."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from . import INTERRUPTED

if TYPE_CHECKING:
    from ..runtime.actor import Actor
    from ..runtime.node import Node


class NodeCalledWrongly(click.UsageError):
    """What was asked for cannot be; one line says what, and there is no traceback."""

    def __init__(self, problem: object) -> None:
        super().__init__(str(problem))


@click.command()
@click.option("--name", help="Of the node; unique among the nodes it meets.  [default: node-PID]")
@click.option("--listen", multiple=True, metavar="ENDPOINT", help="Where other nodes reach this one; repeatable.")
@click.option("--join", multiple=True, metavar="ENDPOINT", help="A node to dial, until it answers; repeatable.")
@click.option(
    "--keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that `trouper keygen` made, for tcp://.",
)
@click.option("--insecure", is_flag=True, help="Let tcp:// go without keys, in the clear and with anybody.")
@click.option("--code-shipping", is_flag=True, help="Take actors by value from linked nodes, which may run any code.")
@click.option("--app", metavar="MODULE:FACTORY", help="Called with the node once it runs; see below.")
@click.option(
    "--allow", multiple=True, metavar="MODULE", help="May be imported when another node spawns from it; repeatable."
)
def node(
    name: str | None,
    listen: Sequence[str],
    join: Sequence[str],
    keys: Path | None,
    *,
    insecure: bool,
    code_shipping: bool,
    app: str | None,
    allow: Sequence[str],
) -> None:
    """Run a node until SIGINT or SIGTERM, and then shut it down in order.

    It prints where it listens.  ENDPOINT is tcp://HOST:PORT (port 0 takes a free one), ipc://NAME or ipc:///PATH.

    MODULE:FACTORY is a function, plain or async, that is given the node; it spawns what it likes, and returns None or
    an actor class, which is then spawned.  MODULE is found as `python -m` finds it, in the current folder too.
    """
    from ..runtime.kernel.errors import CallerError
    from ..runtime.node import Node

    sys.path.insert(0, str(Path.cwd()))
    try:
        begin = None if app is None else _factory(app)
        made = Node(
            name or f"node-{os.getpid()}",
            listen=listen,
            join=join,
            keys=keys,
            insecure=insecure,
            allowed_modules=allow,
            code_shipping=code_shipping,
        )
    except CallerError as error:
        raise NodeCalledWrongly(error) from error
    _run(made, begin, "" if listen else "nowhere: nobody reaches it")


def _run(made: Node, begin: Callable[[object], object] | None, nowhere: str) -> None:
    """Run a node until a signal; what keeps it from starting is the caller's mistake."""
    from ..runtime.kernel.errors import CallerError
    from ..runtime.running import run
    from ..transports.keys import KeysInvalid

    started = False

    async def main() -> None:
        nonlocal started
        async with made:
            started = True
            click.echo(f"node {made.name} listens {nowhere or f'at {made.network.endpoint}'}")
            if begin is not None:
                made_of = begin(made)
                actor = await cast("Awaitable[object]", made_of) if inspect.isawaitable(made_of) else made_of
                if actor is not None:
                    await made.spawn(cast("type[Actor]", actor))
            await asyncio.Event().wait()

    try:
        run(main)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    except (CallerError, KeysInvalid, OSError) as error:
        if started:
            raise
        raise NodeCalledWrongly(error) from error


def _factory(app: str) -> Callable[[object], object]:
    """Find ``module:factory``; raises ``NodeCalledWrongly`` saying which part of it there is not."""
    module, mark, name = app.partition(":")
    if not (mark and module and name):
        raise NodeCalledWrongly(f"--app {app}: write MODULE:FACTORY, as in shop.main:open_shop")
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise NodeCalledWrongly(
            f"--app {app}: there is no module {error.name} in {Path.cwd()} or on sys.path"
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise NodeCalledWrongly(f"--app {app}: {module} has no function {name}")
    return cast("Callable[[object], object]", found)
