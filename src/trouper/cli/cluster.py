"""``trouper cluster``: show a running cluster, and take members out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ..runtime.kernel.untrusted import escaped
from . import INTERRUPTED
from .groups import NamingGroup

if TYPE_CHECKING:
    from ..actors.cluster.admin_service import ListedMember, MemberPage
    from .admin_client import AdminClient

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., object])
PLAIN_COLUMNS = 240
"""The width of a table that is not written to a terminal."""


@click.group(cls=NamingGroup)
def cluster() -> None:
    """Show a running cluster, and take members out of it.

    The nodes of this user on this host are found by their announcements; --at names a node anywhere.
    """


def cluster_options(command: Command) -> Command:
    """Add the options that select the cluster and the keys."""
    for option in reversed(
        (
            click.option("--cluster", "cluster_name", metavar="NAME", help="The cluster, where several run here."),
            click.option("--at", metavar="ENDPOINT", help="A node of the cluster, on this or another host."),
            click.option(
                "--keys",
                type=click.Path(exists=True, file_okay=False, path_type=Path),
                help="The folder that `trouper keygen` made, for tcp://.  [default: the default folder of keygen]",
            ),
            click.option("--insecure", is_flag=True, help="Use tcp:// without keys."),
        )
    ):
        command = option(command)
    return command


@cluster.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@cluster_options
def status(cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool, as_json: bool) -> None:
    """Print all members, as one of them sees them."""

    async def show(client: AdminClient) -> None:
        first, listed = await client.members()
        if as_json:
            _print_json(first, listed)
        else:
            _print(first, listed)

    _connected(show, cluster_name, at, keys, insecure=insecure)


@cluster.command()
@click.argument("node")
@click.option("--reason", default="by command", show_default=True, help="Told to all members.")
@cluster_options
def down(
    node: str, reason: str, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> None:
    """Take NODE down for good, on all members.

    Use it for a node that is known to be dead.  A node that still runs stops its actors when it is told.
    """
    from .admin_client import AdminFailed

    async def take_down(client: AdminClient) -> None:
        if not await client.down(node, reason):
            raise AdminFailed(await _no_member(client, node))
        click.echo(f"node {node} is taken down")

    _connected(take_down, cluster_name, at, keys, insecure=insecure)


@cluster.command()
@click.argument("node")
@cluster_options
def leave(node: str, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool) -> None:
    """Make NODE leave the cluster and end in order; returns when it has ended."""
    leave_cluster(node, cluster_name, at, keys, insecure=insecure)


def leave_cluster(
    node: str | None, cluster_name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> None:
    """Make a node leave its cluster and end.  node: None is the only node of this user on this host."""
    from .admin_client import AdminFailed

    async def leave_and_wait(client: AdminClient) -> None:
        _, listed = await client.members()
        endpoints = {each.member.name: each.member.endpoint for each in listed}
        if node is None and len(endpoints) > 1:
            raise click.UsageError(f"the cluster has several nodes: {', '.join(endpoints)}; name one")
        name = client.peer.node if node is None else node
        if name not in endpoints:
            raise AdminFailed(await _no_member(client, name))
        click.echo(escaped(f"node {await client.leave(endpoints[name], 'told to leave')} has left"))

    _connected(leave_and_wait, cluster_name, at, keys, insecure=insecure)


def run_quietly(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function without the log of its short-lived node; Ctrl-C ends with its exit code."""
    import logging

    from ..runtime.node.run import run

    log = logging.getLogger("trouper")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a failure is reported once, by the command

    async def awaited() -> T:
        return await main()

    try:
        return run(awaited)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    finally:
        log.setLevel(level)


def _connected(
    act: Callable[[AdminClient], Awaitable[T]], name: str | None, at: str | None, keys: Path | None, *, insecure: bool
) -> T:
    """Call a function with a client that is connected to the cluster; a failure is one line and an exit code."""
    from ..actors.cluster.discovery.addresses import read_endpoint
    from ..actors.cluster.discovery.port import DiscoveryInvalid
    from .admin_client import AdminClient, AdminFailed, endpoints_of

    async def main() -> T:
        endpoints = await endpoints_of(name) if at is None else (read_endpoint(at),)
        async with AdminClient(endpoints, keys, insecure=insecure) as client:
            if at is not None and name is not None:
                first, _ = await client.members()
                if first.cluster != name:
                    raise AdminFailed(f"{at} is in the cluster {first.cluster!r}, not {name!r}")
            return await act(client)

    try:
        return run_quietly(partial(main))
    except DiscoveryInvalid as error:
        raise click.UsageError(str(error)) from error


async def _no_member(client: AdminClient, name: str) -> str:
    first, listed = await client.members()
    names = ", ".join(each.member.name for each in listed)
    return f"the cluster {first.cluster!r} has no member {name!r}; it has: {names}"


def _print_json(page: MemberPage, listed: list[ListedMember]) -> None:
    import msgspec

    shown = {"cluster": page.cluster, "seen_by": page.node, "members": listed, "ended": page.ended}
    click.echo(msgspec.json.format(msgspec.json.encode(shown, order="deterministic"), indent=1))


def _print(page: MemberPage, listed: list[ListedMember]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    alive = sum(each.member.status == "alive" for each in listed)
    title = f"cluster {page.cluster}: {alive} of {len(listed)} alive, as {page.node} sees it"
    table = Table(title=Text(escaped(title)))
    headings = (
        "name", "status", "endpoint", "generation", "cores", "roles", "labels", "location", "suspicion",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("generation", "cores", "suspicion") else "left")
    for each in listed:
        table.add_row(*map(Text, row(each)))  # as Text, so that it is not read as markup
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_COLUMNS
    console.print(table)
    for line in ended_lines(page):
        console.print(Text(line))


def ended_lines(page: MemberPage) -> list[str]:
    """Return a line for each node that was a member lately, the last to end last, with the reason why it was downed."""
    lines = [f"{each.name} {'has left' if each.status == 'left' else f'is down: {each.reason}'}" for each in page.ended]
    return list(map(escaped, lines))


def row(listed: ListedMember) -> tuple[str, ...]:
    """Return a member's cells, with question marks for the characters of its metadata that control a terminal."""
    member, metadata = listed.member, listed.member.metadata
    location = metadata.location
    cells = (
        member.name,
        member.status,
        member.endpoint,
        str(member.generation),
        str(metadata.facts.cores),
        " ".join(sorted(metadata.roles)),
        " ".join(f"{key}={value}" for key, value in sorted(metadata.labels.items())),
        "/".join(level for level in (location.region, location.zone, location.rack, location.host) if level),
        f"{listed.suspicion:.2f}",
    )
    return tuple("".join(sign if sign.isprintable() else "?" for sign in cell) for cell in cells)
