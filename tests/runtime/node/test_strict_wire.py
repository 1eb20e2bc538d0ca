import pytest

from tests.runtime.net.stage import Anything, Clerk
from tests.runtime.stage import letters_of, play_on
from trouper import Actor, ActorRef, Message, Node, Reject, Unhandled, WireError, handler
from trouper.runtime.actor.supervisor import Child
from trouper.runtime.kernel.ref import ActorRef as PlainRef
from trouper.runtime.node.strict_wire import StrictRef
from trouper.testing import Simulation, settle, simulate


class Basket(Message[list[int]]):
    """Goods, which the shop may not change under the customer's hands; the reply is what the shop has."""

    goods: list[int]


class Introduce(Message[ActorRef]):
    """The reply is the one who was introduced."""

    who: ActorRef
    friends: dict[str, list[ActorRef]]


class Text(Message[str]):
    """A field that is checked nowhere but on the wire."""

    text: str


class Carry(Message[list[int]]):
    """Pass a basket on."""

    basket: Basket


class Handle(Message[object], local=True):
    """Holds what lives here only."""

    what: object


class Shop(Actor):
    """Keeps the first list that it gets."""

    def __init__(self, next_shop: ActorRef | None = None) -> None:
        self.goods: list[int] = []
        self.next = next_shop

    @handler
    def basket(self, msg: Basket) -> list[int]:
        self.goods = self.goods or msg.goods
        return self.goods

    @handler
    async def carry(self, msg: Carry) -> list[int]:
        assert self.next is not None
        self.forward(self.next, msg.basket)
        return []

    @handler
    def introduce(self, msg: Introduce) -> ActorRef:
        assert msg.friends == {"a": [msg.who]}
        return msg.who

    @handler
    def text(self, msg: Text) -> str:
        return msg.text

    @handler
    def handle(self, msg: Handle) -> object:
        return msg.what


def strict() -> Node:
    """A node whose messages pass through the codec."""
    return Node(strict_wire=True)


@pytest.mark.parametrize("busy", [False, True])
def test_a_receiver_holds_a_copy_and_so_does_the_asker(busy: bool) -> None:
    """No list is shared by two actors: neither that of a message nor that of a reply."""

    async def scene(node: Node) -> None:
        shop, mine = await node.spawn(Shop), [1, 2]
        if busy:
            shop.tell(Basket([]))
        theirs = await shop.ask(Basket(mine))
        theirs.append(7)
        mine.append(8)
        assert await shop.ask(Basket([])) == [1, 2]
        shop.tell(Basket(mine))

    play_on(strict(), scene)


def test_a_message_that_is_forwarded_is_copied_too() -> None:
    """Who passes a message on may not change it afterwards."""

    async def scene(node: Node) -> None:
        last = await node.spawn(Shop)
        first = await node.spawn(Shop, last)
        goods = [1]
        got = await first.ask(Carry(Basket(goods)))
        assert got == [1]
        got.append(2)
        assert await last.ask(Basket([])) == [1]

    play_on(strict(), scene)


def test_a_ref_arrives_as_the_same_ref() -> None:
    """In a field, nested, and as a reply."""

    async def scene(node: Node) -> None:
        shop, ada = await node.spawn(Shop), await node.spawn(Clerk)
        assert await shop.ask(Introduce(ada, {"a": [ada]})) is ada

    play_on(strict(), scene)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            Anything([1, object()]),
            "Anything cannot travel: object is no type that the wire knows, in Anything.value[1]",
        ),
        (Anything(2**64), "Anything cannot travel: can't serialize ints < -2**63 or > 2**64 - 1, in Anything.value"),
        (Text(5), "Text came in wrong: Expected `str`, got `int` - at `$.text`"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose
        (Text("x" * 2**20), "it takes 1048698 bytes, a frame holds 1048532"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_travel_fails_at_the_sender(message: Message[object], said: str) -> None:
    """A tell raises, an ask's future does; the error names the type and the field, and nothing was sent."""

    async def scene(node: Node) -> None:
        letters, clerk = letters_of(node), await node.spawn(Clerk)
        before = node.accounting().sent
        with pytest.raises(WireError) as told:
            clerk.tell(message)
        asked = clerk.ask(message)
        with pytest.raises(WireError) as raised:
            await asked
        assert str(told.value) == str(raised.value) == said
        assert (node.accounting().sent, letters) == (before, [])

    play_on(strict(), scene)


@pytest.mark.parametrize("busy", [False, True])
def test_a_reply_that_cannot_travel_fails_at_the_asker(busy: bool) -> None:
    """As between nodes: the handler has done its work, and its actor goes on."""

    class Odd(Message[object]):
        """The reply cannot travel."""

    class Fool(Actor):
        @handler
        def odd(self, msg: Odd) -> object:
            return {"a": object()}

    async def scene(node: Node) -> None:
        fool = await node.spawn(Fool)
        if busy:
            fool.tell(Odd())
        with pytest.raises(
            WireError, match=r"dict cannot travel: object is no type that the wire knows, in dict\['a'\]"
        ):
            await fool.ask(Odd())

    play_on(strict(), scene)


def test_errors_and_refusals_come_as_they_are() -> None:
    """``Reject``, ``Unhandled``, and what is no message."""

    class No(Message[int]):
        """Refused."""

    def no(msg: No) -> int:
        raise Reject("no")

    async def scene(node: Node) -> None:
        ref = await node.spawn(no)
        with pytest.raises(Reject, match="no"):
            await ref.ask(No())
        with pytest.raises(Unhandled):
            await ref.ask(Text("a"))
        with pytest.raises(Unhandled):
            await ref.ask("no message")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose

    play_on(strict(), scene)


def test_a_forward_that_cannot_travel_is_told_to_the_asker() -> None:
    """As between nodes; when nobody asked, who passes it on is to blame."""

    class Go(Message[object]):
        """Pass on what cannot travel."""

    class Passer(Actor):
        def __init__(self, to: ActorRef) -> None:
            self.to = to

        @handler
        async def go(self, msg: Go) -> object:
            self.forward(self.to, Anything(object()))
            return None

    async def scene(node: Node) -> None:
        letters = letters_of(node)
        passer = await node.spawn(Passer, await node.spawn(Clerk))
        with pytest.raises(WireError, match="Anything cannot travel"):
            await passer.ask(Go())
        passer.tell(Go())
        await settle()
        assert [letter.reason for letter in letters] == ["failed"]

    play_on(strict(), scene)


def test_a_local_message_is_passed_by_reference() -> None:
    """``local=True`` says that it holds what lives here only; the runtime's own of that kind work too."""

    async def scene(node: Node) -> None:
        what = object()
        assert await (await node.spawn(Shop)).ask(Handle(what)) is what
        keeper = await node.supervise()
        from trouper import SupervisorHandle

        await SupervisorHandle(keeper).start_child(Child(Clerk, name="ada"))

    play_on(strict(), scene)


def test_a_node_is_strict_only_when_it_is_asked_to_be() -> None:
    """In production a ref is the kernel's own, so that nothing is paid."""

    async def kind(node: Node) -> type:
        return type(await node.spawn(Clerk))

    assert play_on(Node(), kind) is PlainRef
    assert play_on(strict(), kind) is StrictRef


def test_simulations_are_strict() -> None:
    """What cannot travel fails in the first simulation."""

    async def scene(sim: Simulation) -> None:
        clerk = await sim.node.spawn(Clerk)
        with pytest.raises(WireError, match="Anything"):
            clerk.tell(Anything(object()))

    simulate(scene)
