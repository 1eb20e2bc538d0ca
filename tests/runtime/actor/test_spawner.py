"""`spawn` is the same for a node and for an actor."""

from tests.runtime.stage import play
from trouper import Actor, ActorRef, Message, Node, handler


class Born(Message[ActorRef]):
    """The reply is a child."""

    place: str | None


class Kid(Actor):
    """Does nothing."""


class Parent(Actor):
    """Has a child wherever it is told to."""

    @handler
    async def born(self, msg: Born) -> ActorRef:
        return await self.spawn(Kid, place=msg.place)


def test_a_child_is_under_who_spawned_it_and_ones_own_place_is_here() -> None:
    """A node's are under ``/user``; to name the own node as the place needs no network."""

    async def main() -> None:
        async with Node("home") as node:
            parent = await node.spawn(Parent, name="parent", place="home")
            for place in (None, "home"):
                kid = await parent.ask(Born(place))
                assert kid.address.path == f"user/parent/{kid.name}"

    play(main)
