"""``trouper node``: run a node until it is told to end, list the nodes on this host, make one leave its cluster."""

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
from .cluster import cluster_options, leave_cluster, run_quietly
from .groups import NamingGroup

if TYPE_CHECKING:
    from ..actors.cluster.config import ClusterConfig
    from ..node import Node
    from ..runtime.actor.actor import Actor


class NodeCalledWrongly(click.UsageError):
    """The options cannot be carried out; one line says why, without a traceback."""

    def __init__(self, problem: object) -> None:
        super().__init__(str(problem))


@click.group(cls=NamingGroup)
def node() -> None:
    """Run a node, list nodes, make one leave."""


@node.command("run")
@click.option("--name", help="Name of the node; unique among the nodes it meets.  [default: node-PID]")
@click.option("--listen", multiple=True, metavar="ENDPOINT", help="Where other nodes reach this one; repeatable.")
@click.option("--advertise", metavar="ENDPOINT", help="What other nodes are told instead, as behind a mapped port.")
@click.option(
    "--join", multiple=True, metavar="WHERE", help="A node to dial; with --cluster also see below; repeatable."
)
@click.option(
    "--keys",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that `trouper keygen` made, for tcp://.",
)
@click.option("--insecure", is_flag=True, help="Use tcp:// without keys: in the clear, open to anybody.")
@click.option("--code-shipping", is_flag=True, help="Accept actors by value from peers, which may run any code.")
@click.option("--app", metavar="MODULE:FACTORY", help="Called with the node once it runs; see below.")
@click.option(
    "--allow", multiple=True, metavar="MODULE", help="May be imported when another node spawns from it; repeatable."
)
@click.option("--cluster", "cluster_name", metavar="NAME", help="Join the cluster of this name.")
@click.option("--role", "roles", multiple=True, help="A role of the node, told to the cluster; repeatable.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Told to the cluster; repeatable.")
@click.option("--nodes", metavar="MIN..MAX", help="With how many members the cluster is complete, and its maximum.")
def run_node(
    name: str | None,
    keys: Path | None,
    *,
    insecure: bool,
    cluster_name: str | None,
    app: str | None,
    roles: Sequence[str],
    labels: Sequence[str],
    nodes: str | None,
    allow: Sequence[str],
    **given: Any,  # Any: --listen, --advertise, --join and --code-shipping, which go to Node as they are
) -> None:
    """Run a node until SIGINT or SIGTERM, then shut it down in order.

    The node prints where it listens.  ENDPOINT is tcp://HOST:PORT (port 0 takes a free one), ipc://NAME or
    ipc:///PATH.

    With --cluster, WHERE is an endpoint, `auto` for nodes on this host and the local network, file:///PATH,
    dns://HOST:PORT, srv://SERVICE, mdns://, mpi://:PORT or slurm://:PORT.

    MODULE:FACTORY is a function, plain or async, that takes the node.  It returns None, or an actor class, which is
    then spawned.  MODULE is found as `python -m` finds it, also in the current folder.
    """
    from ..node import Node
    from ..runtime.kernel.errors import CallerError

    sys.path.insert(0, str(Path.cwd()))
    try:
        begin = None if app is None else _factory(app)
        cluster = _config(cluster_name, roles, labels, nodes, given["join"])
        own_name = name or f"node-{os.getpid()}"
        made = Node(own_name, keys=keys, insecure=insecure, allowed_modules=allow, cluster=cluster, **given)
    except CallerError as error:
        raise NodeCalledWrongly(error) from error
    _run(made, begin, "" if given["listen"] else "nowhere: no other node can reach it")


@node.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the endpoints by the name of their cluster.")
def list_nodes(*, as_json: bool) -> None:
    """Print the endpoints of this user's nodes on this host that are in a cluster, with its name before each."""
    from .admin_client import announced_here

    found = run_quietly(announced_here)
    if as_json:
        import json

        click.echo(json.dumps(found, indent=1))
        return
    for name, endpoints in found.items():
        for endpoint in endpoints:
            click.echo(f"{name} {endpoint}")


@node.command("leave")
@click.argument("name", required=False)
@cluster_options
def leave_node(
    name: str | None, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> None:
    """Make the running node NAME leave its cluster and end; without NAME the only node of this user on this host."""
    leave_cluster(name, cluster_name, at, keys, insecure=insecure)


def _config(
    name: str | None, roles: Sequence[str], labels: Sequence[str], nodes: str | None, join: Sequence[str]
) -> ClusterConfig | None:
    """Return the cluster's configuration from the options; None without --cluster.  Raises ``CallerError``."""
    from ..actors.cluster.config import ClusterConfig
    from ..actors.cluster.discovery.factory import is_endpoint

    found = [text for text in join if not is_endpoint(text)]
    if name is None:
        options = {"--role": roles, "--label": labels, "--nodes": nodes, f"--join {' '.join(found)}": found}
        for option in (option for option, value in options.items() if value):
            raise NodeCalledWrongly(f"{option} is for a cluster: name it with --cluster NAME")
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
    """Run a node until it ends; an error that keeps it from starting is reported as a wrong call."""
    from ..runtime.kernel.errors import CallerError, NodeFailed
    from ..runtime.node.run import run
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
            await made.shutdown.wait()  # a command may make it leave
            click.echo(f"node {made.name} has ended: {made.shutdown.reason}", err=True)

    try:
        run(main)
    except NodeFailed as error:
        click.echo(f"node {made.name} has ended: {error}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    except (CallerError, KeysInvalid, OSError) as error:
        if started:
            raise
        raise NodeCalledWrongly(error) from error


def _factory(app: str) -> Callable[[object], object]:
    """Return the function ``module:factory``; raises ``NodeCalledWrongly`` with the part that does not exist."""
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
