"""At-least-once delivery: nothing accepted is lost, and a receiver that keeps receipts handles it once."""

import asyncio
import random

import msgspec
import pytest

from trouper import (
    Actor,
    ActorRef,
    AskTimeout,
    EventSourcedActor,
    InvalidOption,
    MemoryJournal,
    Message,
    Node,
    Reject,
    StartFailed,
    Unavailable,
    applies,
    handler,
)
from trouper.delivery import (
    DeliverMessage,
    Delivery,
    DeliveryGivenUp,
    DeliverySettings,
    DurableDelivery,
    HandledDeliveries,
    Receipt,
    receipt_of,
)
from trouper.lowlevel import declare_header
from trouper.testing import NodeCrashed, Simulation, simulate, virtual_time
from trouper.transports.network_faults import Quality

QUICK = DeliverySettings(timeout_s=1.0, retry_first_s=0.1, retry_max_s=1.0)
HEADER = declare_header("trouper.delivery", follows=False)


class Charge(Message, tag="delivery.charge"):
    n: int


class Charged(Message, tag="delivery.charged"):
    n: int
    receipt: Receipt | None


class Handled(Message[list[int]]):
    """The reply is what was handled, in order."""


class Account(msgspec.Struct):
    numbers: list[int] = msgspec.field(default_factory=list[int])
    handled: HandledDeliveries = msgspec.field(default_factory=HandledDeliveries)


class Billing(EventSourcedActor[Account]):
    """Keeps each receipt in the event that it is the receipt of."""

    snapshot_every = 5

    @handler
    async def charge(self, msg: Charge) -> None:
        receipt = receipt_of(self.headers)
        if receipt not in self.state.handled:
            await self.persist(Charged(msg.n, receipt))

    @applies
    def charged(self, event: Charged) -> None:
        self.state.numbers.append(event.n)
        self.state.handled.add(event.receipt)

    @handler
    def report(self, msg: Handled) -> list[int]:
        return self.state.numbers


class Moody(Actor):
    """Fails, refuses, or takes too long, a number of times; keeps its receipts in memory."""

    def __init__(self, failures: int = 0, kind: str = "error") -> None:
        self.failures, self.kind = failures, kind
        self.numbers: list[int] = []
        self.handled = HandledDeliveries()

    resume = (ValueError,)

    @handler
    async def charge(self, msg: Charge) -> None:
        receipt = receipt_of(self.headers)
        if receipt in self.handled:
            return
        if self.failures:
            self.failures -= 1
            if self.kind == "late":
                self.numbers.append(msg.n)
                self.handled.add(receipt)
                await asyncio.sleep(10)
            if self.kind == "reject":
                raise Reject("no such account")
            if self.kind == "unavailable":
                raise Unavailable("the books are closed")
            raise ValueError("not now")
        self.numbers.append(msg.n)
        self.handled.add(receipt)

    @handler
    def report(self, msg: Handled) -> list[int]:
        return self.numbers


class Heard(Message[list[str]]):
    """The reply is of which deliveries something was published, each with the problem."""


class Listener(Actor):
    """Remembers what is published."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @handler
    def given_up(self, msg: DeliveryGivenUp) -> None:
        self.heard += [str(msg.delivery.address), msg.problem]

    @handler
    def report(self, msg: Heard) -> list[str]:
        return self.heard


async def _billing_on_n2(node: Node) -> ActorRef | None:
    return await node.network.whereis("n2", "user/billing")


async def _begin(node: Node) -> None:
    if node.name == "n1":
        await node.spawn(DurableDelivery, _billing_on_n2, QUICK, name="delivery")
    else:
        await node.spawn(Billing, name="billing")


@pytest.mark.parametrize("seed", range(12))
def test_each_accepted_message_is_handled_once_whatever_crashes(seed: int) -> None:
    """Both ends crash at random, in the middle of writes too, and the network is bad: order and number hold."""

    async def scenario(sim: Simulation) -> None:
        rng = random.Random(seed)
        await sim.boot(_begin)
        accepted: list[int] = []
        for n in range(30):
            if not sim.is_up("n1"):
                await sim.restart("n1")
            if not sim.is_up("n2"):
                await sim.restart("n2")
            delivery = sim["n1"].find("user/delivery")
            assert delivery is not None
            try:
                await delivery.ask(DeliverMessage(Charge(n)), 2.0)
                accepted.append(n)
            except (NodeCrashed, AskTimeout):
                pass  # it may be accepted, and then it is handled, too
            if rng.random() < 0.2:
                victim = rng.choice(["n1", "n2"])
                if sim.is_up(victim):
                    sim.crash(victim, in_operation=rng.randint(1, 6) if rng.random() < 0.5 else None)
            await asyncio.sleep(rng.random() * 0.4)
        for name in ("n1", "n2"):
            if sim.is_up(name):
                sim.crash(name)
            await sim.restart(name)
        await asyncio.sleep(120)
        billing = sim["n2"].find("user/billing")
        assert billing is not None
        numbers = await billing.ask(Handled())
        assert numbers == sorted(set(numbers)), "each once, in order"
        assert set(accepted) <= set(numbers)

    simulate(scenario, seed=seed, nodes=2, quality=Quality(delay_s=0.01, loss=0.05))


@pytest.mark.parametrize("kind", ["error", "late", "unavailable"])
@virtual_time
async def test_an_attempt_that_fails_is_followed_by_another(kind: str) -> None:
    """Also one whose reply came too late: the receiver knows the repetition."""
    async with Node() as node:
        receiver = await node.spawn(Moody, 3, kind)
        delivery = await node.spawn(Delivery, receiver, QUICK)
        assert [await delivery.ask(DeliverMessage(Charge(n))) for n in range(10)] == list(range(1, 11))
        await asyncio.sleep(60)
        assert await receiver.ask(Handled()) == list(range(10))


@pytest.mark.parametrize("kind", [Delivery, DurableDelivery])
@virtual_time
async def test_messages_of_a_next_life_with_the_same_seed_are_new(kind: type[Delivery | DurableDelivery]) -> None:
    """The sender and its memory are gone; the receiver has kept its receipts, and takes nothing for a repetition."""
    done, handled = list[int](), HandledDeliveries()

    class Keeper(Actor):
        @handler
        def charge(self, msg: Charge) -> None:
            receipt = receipt_of(self.headers)
            if receipt not in handled:
                handled.add(receipt)
                done.append(msg.n)

    for n in range(3):
        async with Node(seed=7, journal=MemoryJournal()) as node:
            delivery = await node.spawn(kind, await node.spawn(Keeper), QUICK, name="delivery")
            await delivery.ask(DeliverMessage(Charge(n)))
            await asyncio.sleep(1)
    assert done == [0, 1, 2]


class Hang(Message):
    """Keep the actor busy for a second, then fail."""


class Hanging(Delivery):
    """A delivery that can be kept from its mailbox, and restarted."""

    @handler
    async def hang(self, msg: Hang) -> None:
        await asyncio.sleep(1)
        raise ArithmeticError("as told")


@virtual_time
async def test_the_outcome_of_an_attempt_before_a_restart_settles_no_message_after_it() -> None:
    """Both have the number 1; the first one is handled while the delivery hangs, the other one fails at first."""
    async with Node() as node:
        receiver, lives = await node.spawn(Moody), list[int]()

        async def find(node: Node) -> ActorRef:
            if lives:
                raise OSError("not yet")
            lives.append(1)
            await asyncio.sleep(0.5)
            return receiver

        delivery = await node.spawn(Hanging, find, QUICK, restart="permanent")
        await delivery.ask(DeliverMessage(Charge(1)))
        delivery.tell(Hang())
        delivery.tell(DeliverMessage(Charge(2)))
        await asyncio.sleep(2)
        assert await receiver.ask(Handled()) == [1]
        lives.clear()
        await asyncio.sleep(10)
        assert await receiver.ask(Handled()) == [1, 2]


class Relay(Actor):
    """Hands each message on to the delivery that it is given."""

    def __init__(self, onward: ActorRef) -> None:
        self.onward = onward

    @handler
    async def charge(self, msg: Charge) -> None:
        await self.onward.ask(DeliverMessage(msg))


@virtual_time
async def test_deliveries_in_a_chain_lose_nothing_when_one_of_them_is_full() -> None:
    """A refusal for now is no decision: the delivery before it tries again."""
    async with Node() as node:
        last = await node.spawn(Moody, 3)
        full = await node.spawn(Delivery, last, msgspec.structs.replace(QUICK, pending_max=1))
        relay = await node.spawn(Relay, full)
        first = await node.spawn(Delivery, relay, QUICK)
        for n in range(10):
            await first.ask(DeliverMessage(Charge(n)))
        await asyncio.sleep(60)
        assert await last.ask(Handled()) == list(range(10))


@virtual_time
async def test_a_refusal_and_too_many_failures_are_published_and_not_repeated() -> None:
    """The other messages go on."""
    async with Node() as node:
        listener = await node.spawn(Listener)
        node.events.subscribe(DeliveryGivenUp, listener)
        refusing, failing = await node.spawn(Moody, 1, "reject"), await node.spawn(Moody, 2)
        one = await node.spawn(Delivery, refusing, QUICK)
        other = await node.spawn(DurableDelivery, failing, msgspec.structs.replace(QUICK, attempts_max=2), name="d")
        for n in range(3):
            await one.ask(DeliverMessage(Charge(n)))
            await other.ask(DeliverMessage(Charge(n)))
        await asyncio.sleep(30)
        assert await refusing.ask(Handled()) == await failing.ask(Handled()) == [1, 2]
        expected = [str(one.address), "no such account", str(other.address), "ValueError: not now"]
        assert await listener.ask(Heard()) == expected


@virtual_time
async def test_what_cannot_be_accepted_is_refused_at_the_asker() -> None:
    """Too many messages, and a message that cannot be stored."""
    async with Node() as node:
        receiver = await node.spawn(Moody, 1_000)
        few = msgspec.structs.replace(QUICK, pending_max=2)
        for kind in (Delivery, DurableDelivery):
            delivery = await node.spawn(kind, receiver, few, name=kind.__name__)
            for n in range(2):
                await delivery.ask(DeliverMessage(Charge(n)))
            with pytest.raises(Unavailable, match="has 2 messages to deliver, its pending_max: send later"):
                await delivery.ask(DeliverMessage(Charge(3)))
        durable = await node.spawn(DurableDelivery, receiver, QUICK, name="other")
        with pytest.raises(Reject, match=r"^a DeliveryGivenUp cannot be stored: "):
            await durable.ask(DeliverMessage(DeliveryGivenUp(receiver, Charge(1), "")))


@virtual_time
async def test_a_stored_message_of_an_unknown_class_fails_the_start() -> None:
    """It is not skipped."""
    journal = MemoryJournal()
    async with Node(journal=journal) as node:

        class Gone(Message, tag="delivery.gone"):
            n: int

        receiver = await node.spawn(Moody)
        delivery = await node.spawn(DurableDelivery, receiver, QUICK, name="d")
        await receiver.stop()
        await delivery.ask(DeliverMessage(Gone(1)))
        await delivery.stop()
        record = [record async for record in journal.read("user/d")][-1]
        await journal.truncate_after("user/d", record.sequence - 1)
        await journal.append("user/d", [record.payload.replace(b"delivery.gone", b"delivery.lost")])
        with pytest.raises(StartFailed) as caught:
            await node.spawn(DurableDelivery, receiver, QUICK, name="d")
        assert "import the module of its class before" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "header", [b"", b"\xc1", msgspec.msgpack.encode(["s", 1, 2]), msgspec.msgpack.encode(Receipt("s", 5_000, 1))]
)
@virtual_time
async def test_a_header_that_is_none_of_a_delivery_is_refused(header: bytes) -> None:
    """A peer can send anything: the receiver does not fail by it."""
    async with Node() as node:
        receiver = await node.spawn(Moody)
        with pytest.raises(Reject):
            await receiver.with_headers({HEADER: header}).ask(Charge(1))
        assert await receiver.ask(Handled()) == []
        receiver.tell(Charge(2))
        assert await receiver.ask(Handled()) == [2], "a message without a header is handled as any other"


@pytest.mark.parametrize(
    "wrong",
    [{"timeout_s": 0}, {"retry_first_s": 5, "retry_max_s": 1}, {"window": 0}, {"window": 1_001}, {"attempts_max": 0}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
    """At once, with all values in the text."""
    with pytest.raises(InvalidOption):
        DeliverySettings(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose
