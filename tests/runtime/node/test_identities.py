"""Identities of nodes by the files of their keys: names, roles, revocation.  Real sockets on the loopback."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.runtime.net.stage import Add, Clerk
from trouper import InvalidOption, Node, NotPermitted, PeerRefused
from trouper.runtime.session.identity import Role
from trouper.transports.keys import make_cluster_keys, make_node_keys

PATIENCE_S = 20.0


class Site:
    """A folder of keys for each node: one cluster, and a list at each node of the keys that it admits."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_cluster_keys(root / "shared")

    def add(self, name: str, *roles: Role) -> None:
        """Make the keys of a node, and list it at all others, which list it with these roles."""
        folder = self.root / name
        make_node_keys(folder, name, frozenset(roles) or frozenset({"member"}))
        secret = folder / "cluster.key_secret"
        secret.write_text((self.root / "shared" / "cluster.key_secret").read_text())
        secret.chmod(0o600)
        (folder / "allowed").mkdir(mode=0o700)
        public = (folder / f"{name}.key").read_text()
        for other in self.root.iterdir():
            for reader, writer, text in ((other.name, name, public), (name, other.name, None)):
                source = self.root / writer / f"{writer}.key"
                if source.exists() and (self.root / reader / "allowed").is_dir():
                    target = self.root / reader / "allowed" / f"{writer}.key"
                    target.write_text(source.read_text() if text is None else text)
                    target.chmod(0o600)

    @asynccontextmanager
    async def running(self, *nodes: tuple[str, str]) -> AsyncGenerator[list[Node]]:
        """Run nodes, each given as its name and the owner of its keys; each joins the first."""
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(self._node(*nodes[0], ()))
            others = [
                await stack.enter_async_context(self._node(name, keys, (first.network.endpoint,)))
                for name, keys in nodes[1:]
            ]
            yield [first, *others]

    def _node(self, name: str, keys: str, join: tuple[str, ...]) -> Node:
        return Node(name, listen="tcp://127.0.0.1:0", join=join, keys=self.root / keys)


async def until_lost(node: Node, name: str) -> None:
    """Wait until the node has no session with another one."""
    async with asyncio.timeout(PATIENCE_S):
        while name in node.network.peers:
            await node.network.wait_for_change()


async def connected(node: Node, name: str) -> None:
    """Wait for a session."""
    async with asyncio.timeout(PATIENCE_S):
        await node.network.wait_for_peer(name)


def test_the_role_in_the_file_of_a_key_decides_what_its_owner_may_do(tmp_path: Path) -> None:
    """An observer reads the tree of a node, and sends nothing to its actors; a member does, and does not read."""
    site = Site(tmp_path)
    site.add("vault")
    site.add("eve", "observer")
    site.add("bob", "member")

    async def scene() -> None:
        async with site.running(("vault", "vault"), ("eve", "eve"), ("bob", "bob")) as (vault, eve, bob):
            await connected(eve, "vault")
            await connected(bob, "vault")
            await vault.spawn(Clerk, name="ada")
            ada = await eve.network.whereis("vault", "user/ada")
            assert ada is not None
            with pytest.raises(NotPermitted, match="does not permit eve to send a message to actor"):
                await ada.ask(Add(1))
            assert (await eve.network.introspection.tree("vault")).omitted == 0
            ada = await bob.network.whereis("vault", "user/ada")
            assert ada is not None
            assert await ada.ask(Add(2)) == 2
            with pytest.raises(NotPermitted, match="does not permit bob to send GetTree"):
                await bob.network.introspection.tree("vault")
            assert vault.network.security.counts == {"eve": {"Add": 1}, "bob": {"GetTree": 1}}
            assert vault.network.peer("eve").identity.roles == frozenset({"observer"})

    asyncio.run(scene())


def test_a_node_has_to_be_called_like_its_key(tmp_path: Path) -> None:
    """Mallory's key does not link as bob, who is not locked out by it; as a worker of mallory it does."""
    site = Site(tmp_path)
    for name in ("vault", "mallory", "bob"):
        site.add(name)

    async def scene() -> None:
        async with site.running(("vault", "vault"), ("bob", "mallory"), ("mallory.worker-1", "mallory")) as nodes:
            vault, impostor, worker = nodes
            await connected(worker, "vault")
            async with asyncio.timeout(PATIENCE_S):
                while not impostor.network.refusals:
                    await impostor.network.wait_for_change()
            why = "its key is listed as mallory, so it has to be called mallory, not bob"
            assert list(impostor.network.refusals.values()) == [why]
            await connected(vault, "mallory.worker-1")
            assert list(vault.network.peers) == ["mallory.worker-1"]
            assert list(vault.network.security.counts) == ["mallory"]
            bob = Node("bob", listen="tcp://127.0.0.1:0", join=[vault.network.endpoint], keys=tmp_path / "bob")
            async with bob:
                await connected(vault, "bob")
                assert vault.network.peer("bob").identity.name == "bob"

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["revoked", "removed", "listed with another role"])
def test_a_key_that_is_taken_back_ends_its_sessions_within_a_second(tmp_path: Path, how: str) -> None:
    """By ``revoke``, and by the file of the key; what the owner sends afterwards is not heard."""
    site = Site(tmp_path)
    for name in ("vault", "bob"):
        site.add(name)

    async def scene() -> None:
        async with site.running(("vault", "vault"), ("bob", "bob")) as (vault, bob):
            await connected(bob, "vault")
            await connected(vault, "bob")
            ada = await vault.spawn(Clerk, name="ada")
            found = await bob.network.whereis("vault", "user/ada")
            assert found is not None
            file = tmp_path / "vault" / "allowed" / "bob.key"
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            events = vault.events.stream(PeerRefused)
            if how == "revoked":
                assert vault.network.revoke("bob") == ["bob"]
            elif how == "removed":
                file.unlink()
            else:
                file.write_text(file.read_text().replace('role = "member"', 'role = "observer"'))
            await until_lost(vault, "bob")
            assert loop.time() - began_at < 1.0
            if how == "listed with another role":
                await connected(vault, "bob")
                assert vault.network.peer("bob").identity.roles == frozenset({"observer"})
                return
            found.tell(Add(1))
            async with asyncio.timeout(PATIENCE_S):
                event = await anext(events)
            assert (event.what, event.reason) == ("a frame", "its key is admitted no more")
            assert ada._cell.received == 0  # noqa: SLF001  that nothing arrived is what is expected
            assert "bob" not in vault.network.peers

    asyncio.run(scene())


def test_an_unknown_identity_cannot_be_revoked(tmp_path: Path) -> None:
    """The error names those that are listed; a node without keys has none."""
    site = Site(tmp_path)
    for name in ("vault", "bob"):
        site.add(name)

    async def scene() -> None:
        async with site.running(("vault", "vault")) as (vault,):
            with pytest.raises(InvalidOption, match=r"^no key is listed as 'eve'; listed are: bob, vault, cluster$"):
                vault.network.revoke("eve")
        async with Node("plain", listen="inprocess://plain") as plain:
            with pytest.raises(InvalidOption, match="node plain has no keys, so there is none to revoke"):
                plain.network.revoke("eve")

    asyncio.run(scene())


def test_a_process_of_the_same_user_may_do_everything(tmp_path: Path) -> None:
    """A peer over an ipc socket is this user's, who could read and change the process anyway."""
    path = tmp_path / "sockets"
    path.mkdir(mode=0o700)

    async def scene() -> None:
        async with (
            Node("a", listen=f"ipc://{path}/a") as a,
            Node("b", listen=f"ipc://{path}/b", join=[a.network.endpoint]) as b,
        ):
            await connected(b, "a")
            assert b.network.peer("a").identity.may("developer")
            assert str(b.network.peer("a").identity) == "this user"
            assert os.getuid() == path.stat().st_uid
            assert (await b.network.introspection.tree("a")).name == ""

    asyncio.run(scene())


def test_a_peer_without_a_key_is_a_member() -> None:
    """With ``insecure=True`` anybody may connect, and send messages; to read or change a node takes a key."""

    async def scene() -> None:
        async with (
            Node("a", listen="tcp://127.0.0.1:0", insecure=True) as a,
            Node("b", listen="tcp://127.0.0.1:0", join=[a.network.endpoint], insecure=True) as b,
        ):
            await connected(b, "a")
            with pytest.raises(NotPermitted, match="does not permit a peer without a key to send GetTree"):
                await b.network.introspection.tree("a")

    asyncio.run(scene())
