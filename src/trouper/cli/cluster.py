"""``trouper cluster``: look at a cluster that runs, and take members out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from . import INTERRUPTED

if TYPE_CHECKING:
    from ..actors.cluster.admin_service import ListedMember, MemberPage
    from .admin_client import AdminClient

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., object])
PLAIN_COLUMNS = 240
"""The width of a table that goes to no terminal."""


@click.group()
def cluster() -> None:
    """Look at a cluster that runs, and take members out of it.

    The nodes of this user on this host are found by themselves; --at names a node anywhere.
    """


def cluster_options(command: Command) -> Command:
    """Give a command the options that say which cluster is meant, and how to get in."""
    for option in reversed(
        (
            click.option("--cluster", "cluster_name", metavar="NAME", help="Which one, where several run here."),
            click.option("--at", metavar="ENDPOINT", help="A node of the cluster, on this host or another one."),
            click.option(
                "--keys",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                help="The folder that `trouper keygen` made, for tcp://.  [default: where keygen puts it]",
            ),
            click.option("--insecure", is_flag=True, help="Let tcp:// go without keys."),
        )
    ):
        command = option(command)
    return command


@cluster.command()
@cluster_options
def status(cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool) -> None:
    """Print all members, as one of them sees them."""

    async def ask(attending: AdminClient) -> None:
        first, listed = await attending.members()
        _print(first, listed)

    _attend(ask, cluster_name, at, keys, insecure=insecure)


@cluster.command()
@click.argument("node")
@click.option("--reason", default="somebody decided so", show_default=True, help="Told to all members.")
@cluster_options
def down(
    node: str, reason: str, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> None:
    """Take NODE down for good, everywhere.

    It is for a node that is known to be dead; one that lives stops its actors when it hears of it.
    """
    from .admin_client import AdminFailed

    async def ask(attending: AdminClient) -> None:
        if not await attending.down(node, reason):
            raise AdminFailed(await _nobody(attending, node))
        click.echo(f"node {node} is taken down")

    _attend(ask, cluster_name, at, keys, insecure=insecure)


@cluster.command()
@click.argument("node")
@cluster_options
def leave(node: str, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool) -> None:
    """Have NODE take its leave of the cluster and end in order; returns when it has."""
    leave_cluster(node, cluster_name, at, keys, insecure=insecure)


def leave_cluster(
    node: str | None, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> None:
    """Have a node leave and end.  node: None is the only one of this user on this host."""
    from .admin_client import AdminFailed

    async def ask(attending: AdminClient) -> None:
        _, listed = await attending.members()
        endpoints = {entry.member.name: entry.member.endpoint for entry in listed}
        if node is None and len(endpoints) > 1:
            raise click.UsageError(f"the cluster has several nodes: {', '.join(endpoints)}; say which with --name")
        name = attending.peer.node if node is None else node
        if name not in endpoints:
            raise AdminFailed(await _nobody(attending, name))
        click.echo(f"node {await attending.leave(endpoints[name], 'told to leave')} has left")

    _attend(ask, cluster_name, at, keys, insecure=insecure)


def _attend(
    ask: Callable[[AdminClient], Awaitable[T]], name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> T:
    """Ask a node of the cluster; what stands in the way is one line, and an exit code that is not 0."""
    import logging

    from ..actors.cluster.discovery.addresses import read_endpoint
    from ..actors.cluster.discovery.port import DiscoveryInvalid
    from ..runtime.node.run import run
    from .admin_client import AdminClient, AdminFailed, endpoints_of

    async def main() -> T:
        endpoints = await endpoints_of(name) if at is None else (read_endpoint(at),)
        async with AdminClient(endpoints, keys, insecure=insecure) as attending:
            if at is not None and name is not None:
                first, _ = await attending.members()
                if first.cluster != name:
                    raise AdminFailed(f"{at} is of the cluster {first.cluster!r}, not {name!r}")
            return await ask(attending)

    log = logging.getLogger("trouper")
    level = log.level
    log.setLevel(logging.CRITICAL)  # what goes wrong is said once, below
    try:
        return run(partial(main))
    except DiscoveryInvalid as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    finally:
        log.setLevel(level)


async def _nobody(attending: AdminClient, name: str) -> str:
    first, listed = await attending.members()
    names = ", ".join(entry.member.name for entry in listed)
    return f"the cluster {first.cluster!r} has no member {name!r}; it has: {names}"


def _print(page: MemberPage, listed: list[ListedMember]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    alive = sum(entry.member.status == "alive" for entry in listed)
    table = Table(title=f"cluster {page.cluster}: {alive} of {len(listed)} alive, as {page.node} sees it")
    headings = (
        "name", "status", "endpoint", "incarnation", "cores", "roles", "labels", "location", "suspicion",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("incarnation", "cores", "suspicion") else "left")
    for entry in listed:
        table.add_row(*map(Text, row(entry)))  # as Text, so that nothing of it is read as markup
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_COLUMNS
    console.print(table)


def row(entry: ListedMember) -> tuple[str, ...]:
    """Return a member's cells; what a node tells of itself is shown without what a terminal would obey."""
    member, metadata = entry.member, entry.member.metadata
    place = metadata.location
    cells = (
        member.name,
        member.status,
        member.endpoint,
        str(member.generation),
        str(metadata.facts.cores),
        " ".join(sorted(metadata.roles)),
        " ".join(f"{key}={value}" for key, value in sorted(metadata.labels.items())),
        "/".join(level for level in (place.region, place.zone, place.rack, place.host) if level),
        f"{entry.suspicion:.2f}",
    )
    return tuple("".join(sign if sign.isprintable() else "?" for sign in cell) for cell in cells)
