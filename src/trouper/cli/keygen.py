"""``trouper keygen``: make the keys by which nodes on several machines authenticate each other."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--node", "name", metavar="NAME", help="Make a pair for one node of a cluster, for allow-lists.")
@click.option("--role", "roles", multiple=True, help="What the owner of the pair may do; may be given several times.")
def keygen(folder: Path | None, name: str | None, roles: tuple[str, ...]) -> None:
    """Make the keys of a cluster.

    They are written to FOLDER, which is $TROUPER_KEYS or ~/.config/trouper/keys when it is left out: a folder that
    only you can read.  Copy cluster.key_secret to every host of the cluster, over a channel that you trust.

    With --node a pair for one node is made instead, beside NAME.key, its public half: where other nodes have a folder
    `allowed`, a copy of NAME.key in it lets this node in.

    The roles are member, worker, observer, operator and developer.  They are written into the file, and every node
    goes by its own copy: by default the pair of a cluster is of members that are operators too, that of a node of a
    member.

    Existing files are never overwritten.
    """
    from ..runtime.kernel.errors import InvalidOption
    from ..runtime.session.identity import read_roles
    from ..transports import keys

    folder = folder or keys.default_folder()
    try:
        if name is None:
            written = keys.make_cluster_keys(folder, read_roles(", ".join(roles)) if roles else keys.CLUSTER_ROLES)
        else:
            written = keys.make_node_keys(folder, name, read_roles(", ".join(roles)) if roles else keys.MEMBER)
    except (keys.KeysInvalid, InvalidOption, OSError) as error:
        raise click.ClickException(str(error)) from error
    for path in written:
        click.echo(path)
