"""``trouper node``: run a node until it is told to end, with the actors of an application or as room for others'."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from . import INTERRUPTED
from .cluster import leave_cluster

if TYPE_CHECKING:
    from ..actors.cluster.config import ClusterConfig
    from ..runtime.actor.actor import Actor
    from ..runtime.node.node import Node


class NodeCalledWrongly(click.UsageError):
    """What was asked for cannot be; one line says what, and there is no traceback."""

    def __init__(self, problem: object) -> None:
        super().__init__(str(problem))


@click.command()
@click.option("--name", help="Of the node; unique among the nodes it meets.  [default: node-PID]")
@click.option("--listen", multiple=True, metavar="ENDPOINT", help="Where other nodes reach this one; repeatable.")
@click.option(
    "--join", multiple=True, metavar="WHERE", help="A node to dial; with --cluster also see below; repeatable."
)
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
@click.option("--cluster", "cluster_name", metavar="NAME", help="Take part in the cluster of this name.")
@click.option("--role", "roles", multiple=True, help="What this node is there for, told to the cluster; repeatable.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Told to the cluster too; repeatable.")
@click.option("--nodes", metavar="MIN..MAX", help="Members that make the cluster complete, and its most.")
@click.option("--leave", is_flag=True, help="Start nothing: have the running node of this --name leave and end.")
def node(
    name: str | None,
    keys: Path | None,
    *,
    insecure: bool,
    leave: bool,
    cluster_name: str | None,
    app: str | None,
    roles: Sequence[str],
    labels: Sequence[str],
    nodes: str | None,
    allow: Sequence[str],
    **given: Any,  # Any: --listen, --join and --code-shipping, which go to Node as they are
) -> None:
    """Run a node until SIGINT or SIGTERM, and then shut it down in order.

    It prints where it listens.  ENDPOINT is tcp://HOST:PORT (port 0 takes a free one), ipc://NAME or ipc:///PATH.

    With --cluster, WHERE is an endpoint, `auto` for whoever is on this host or the local network, file:///PATH,
    dns://HOST:PORT, srv://SERVICE, mdns://, mpi://:PORT, slurm://:PORT, or console+https://HOST.

    MODULE:FACTORY is a function, plain or async, that is given the node; it spawns what it likes, and returns None or
    an actor class, which is then spawned.  MODULE is found as `python -m` finds it, in the current folder too.
    """
    from ..runtime.kernel.errors import CallerError
    from ..runtime.node.node import Node

    if leave:
        leave_cluster(name, cluster_name, None, keys, insecure=insecure)
        return
    sys.path.insert(0, str(Path.cwd()))
    try:
        begin = None if app is None else _factory(app)
        cluster = _config(cluster_name, roles, labels, nodes, given["join"])
        own_name = name or f"node-{os.getpid()}"
        made = Node(own_name, keys=keys, insecure=insecure, allowed_modules=allow, cluster=cluster, **given)
    except CallerError as error:
        raise NodeCalledWrongly(error) from error
    _run(made, begin, "" if given["listen"] else "nowhere: nobody reaches it")


def _config(
    name: str | None, roles: Sequence[str], labels: Sequence[str], nodes: str | None, join: Sequence[str]
) -> ClusterConfig | None:
    """How the node takes part in a cluster; None when it does not.  Raises ``CallerError``."""
    from ..actors.cluster.config import ClusterConfig
    from ..actors.cluster.discovery.specification import Seed, parse

    found = [text for text in join if not isinstance(parse(text), Seed)]
    if name is None:
        options = {"--role": roles, "--label": labels, "--nodes": nodes, f"--join {' '.join(found)}": found}
        for option in (option for option, value in options.items() if value):
            raise NodeCalledWrongly(f"{option} is for a cluster: say which with --cluster NAME")
        return None
    told: dict[str, str] = {}
    for label in labels:
        key, mark, told[key] = label.partition("=")
        if not (key and mark):
            raise NodeCalledWrongly(f"--label {label}: write KEY=VALUE, as in gpu=a100")
    if nodes is None:
        return ClusterConfig(name=name, roles=frozenset(roles), labels=told)
    least, mark, most = nodes.partition("..")
    if not (least.isdecimal() and mark and most.isdecimal()):
        raise NodeCalledWrongly(f"--nodes {nodes}: write MIN..MAX, as in 3..10")
    return ClusterConfig(name=name, roles=frozenset(roles), labels=told, nodes=(int(least), int(most)))


def _run(made: Node, begin: Callable[[object], object] | None, nowhere: str) -> None:
    """Run a node until a signal; what keeps it from starting is the caller's mistake."""
    from ..runtime.kernel.errors import CallerError
    from ..runtime.node.run import run
    from ..transports.keys import KeysInvalid

    started = False

    async def main() -> int:
        nonlocal started
        async with made:
            started = True
            click.echo(f"node {made.name} listens {nowhere or f'at {made.network.endpoint}'}")
            if begin is not None:
                made_of = begin(made)
                actor = await cast("Awaitable[object]", made_of) if inspect.isawaitable(made_of) else made_of
                if actor is not None:
                    await made.spawn(cast("type[Actor]", actor))
            await made.shutdown.wait()  # a cluster may take the node down, or somebody tell it to leave
            click.echo(f"node {made.name} has ended: {made.shutdown.reason}", err=True)
            return int(_is_thrown_out(made))

    try:
        raise SystemExit(run(main))
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    except (CallerError, KeysInvalid, OSError) as error:
        if started:
            raise
        raise NodeCalledWrongly(error) from error


def _is_thrown_out(made: Node) -> bool:
    """Whether a node that is down was taken out of its cluster, and did not leave it."""
    from ..actors.cluster.membership.records import Status
    from ..runtime.kernel.errors import NodeClosed

    try:
        return made.cluster.machine.me.status is not Status.LEFT
    except NodeClosed:
        return False  # it was in none


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
