from tests.runtime.stage import Note, Notes, Player, letters_of, staged, told
from trouper import Mailbox, Node
from trouper.runtime.kernel.ref import deliver
from trouper.testing import settle


class Narrow(Player):
    mailbox = Mailbox(high_water=1, limit=1, when_full="raise_full")


@staged
async def test_a_notice_arrives_like_any_message(node: Node) -> None:
    """What is delivered is handled in order with what is told."""
    player = await node.spawn(Player)
    player.tell(Note(1))
    deliver(player, Note(2))
    assert await player.ask(Notes()) == [1, 2]


@staged
async def test_a_full_mailbox_costs_the_receiver_its_notice_and_not_the_sender_its_calm(node: Node) -> None:
    """Where `tell` would raise, the notice is a dead letter, and the books balance."""
    letters = letters_of(node)
    narrow = await node.spawn(Narrow)
    narrow.tell(Note(1))
    deliver(narrow, Note(2))
    assert told(letters) == [(Note(2), "mailbox_full")]
    await settle()
    assert await narrow.ask(Notes()) == [1]
