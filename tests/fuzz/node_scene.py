"""What an admitted peer sends to a whole node, made up from bytes: with a cluster, a served journal, groups and actors.

The frames are well-formed where the bytes do not say otherwise, and so are the bodies in them: definitions of message
types that the node serves, refs, items with fields of the right types, large buffers, headers.  Whatever comes, nothing
may fail but with an error that the peer is told of and that is counted, no actor of the system may restart, what the
peer costs stays within its limits, the node answers another peer, and gives all back when the peer has gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from tests.fuzz.made_up import FLOATS, KINDS, NUMBERS, TEXTS, Choices, anything, ref, struct_of, value_of
from tests.runtime.net.intruder import Intruder, with_keys
from tests.runtime.net.stage import Add, Anything, Clerk, Meet, Numbers, Observe, Ruin, Sum, cell_of
from tests.runtime.stage import play
from trouper import MemoryJournal, Message, Node, PeerLimits, TrouperError
from trouper.cluster import ClusterConfig
from trouper.runtime.kernel.message import tag_of
from trouper.runtime.net.control import CONTROLS, FindActor
from trouper.runtime.session import frames
from trouper.runtime.session.bulk_chunks import HEAD_BYTES
from trouper.runtime.session.codec import TAGS_FROM
from trouper.runtime.session.identity import Identity, Role
from trouper.runtime.session.schemas import fingerprint
from trouper.testing import settle

LIMITS = PeerLimits(
    asks_max=200, requests_max=100, actors_max=20, watches_max=50, definitions_max=500, assembly_bytes_max=8_000_000,
    queued_items_max=2_000, handshakes_max=10, addresses_max=20, dials_max=10, threads_max=5,
)  # fmt: skip
TO_ACTORS: tuple[type[Message[object]], ...] = (Add, Sum, Numbers, Ruin, Meet, Observe, Anything)
"""Not ``Wait``: a program that sleeps for what a peer says has timers of no number, which no runtime can order."""
FRAMES_MAX = 60
ROLES = frozenset[Role]({"member", "worker", "observer"})
NOTHING: list[object] = []
_encode = msgspec.msgpack.Encoder().encode


class HeldTooLong(AssertionError):
    """A frame held the loop for longer than it may."""


class NodeScene:
    """A node, a peer that keeps to the rules, and one that does not.

    cpu_s_max: CPU seconds that one frame may take; None does not measure, so that no test depends on speed.
    """

    def __init__(self, cpu_s_max: float | None = None) -> None:
        self._cpu_s_max = cpu_s_max
        self.faults: list[str] = []

    def play(self, data: bytes) -> None:
        """Let the peer send what the bytes say, and look after the node."""
        choose = Choices(data)

        async def main() -> None:
            node = Node(
                "victim", listen="inprocess://victim", peer_limits=LIMITS, journal=MemoryJournal(), serve_journal=True,
                cluster=ClusterConfig(name="fuzz"), seed=1,
            )  # fmt: skip
            async with node:
                await self._attack(node, choose)

        play(main)
        assert not self.faults, self.faults

    async def _attack(self, node: Node, choose: Choices) -> None:
        self._watch_for_faults(node)
        with_keys(node, m=Identity("m", "mallory", ROLES), a=Identity("a", "ada", frozenset({"observer"})))
        ada, eve = Intruder(node, "ada", key="a"), Intruder(node, "eve", key="m")
        for each in (ada, eve):
            await each.connect()
        clerk = await node.spawn(Clerk, name="clerk")
        node.network.exports[clerk.address.uid] = cell_of(clerk)
        sender = _Sender(eve, node, clerk.address.uid, choose)
        for _ in range(FRAMES_MAX):
            if not choose or eve.session is None:
                break
            sender.next()
            began = time.process_time()
            await settle()
            held_s = time.process_time() - began
            if self._cpu_s_max is not None and held_s > self._cpu_s_max:
                raise HeldTooLong(f"{sender.what} took {held_s:.3f} s")
            _check(node)
            if choose.one_in(6):
                await asyncio.sleep(choose.of((0.05, 1.0, 15.0)))
        before = len(ada.bodies)
        ada.ask(FindActor("nobody"))
        await settle()
        assert len(ada.bodies) > before, "the node does not answer another peer"
        assert node.cluster.members(), "the cluster is no more"
        await eve.close()
        await asyncio.sleep(100.0)
        left = dict(node.network.budget.usage().get("mallory", {}))
        left.pop("actors", None)
        left.pop("addresses", None)
        assert not left, f"the peer has gone, and holds {left}"
        await ada.close()

    def _watch_for_faults(self, node: Node) -> None:
        problem = node.reports.problem

        def noted(text: str, error: BaseException | None = None) -> None:
            if error is not None and not isinstance(error, TrouperError):
                self.faults.append(f"{text}: {type(error).__name__}: {error}")
            problem(text, error)

        setattr(node.reports, "problem", noted)  # noqa: B010  a method
        node.reports.on_crash.append(
            lambda cell, error, _: (
                self.faults.append(f"{cell.address} failed: {error}")
                if cell.address.path.startswith("system")
                else None
            )
        )


def _check(node: Node) -> None:
    """No limit is exceeded."""
    network = node.network
    for cost, held in network.budget.held.items():
        slack = 600 if cost == "queued_items" else 0  # what one frame adds is counted when it was handled
        assert 0 <= held <= LIMITS.limit(cost) + slack, f"{held} {cost}"
    assert len(network.refusals) <= 100
    assert len(network.exports) <= 200


class _Sender:
    """Makes the frames of one peer."""

    def __init__(self, eve: Intruder, node: Node, uid: int, choose: Choices) -> None:
        self._eve, self._uid, self._choose = eve, uid, choose
        served: list[type[Message[object]]] = sorted(
            (each for each in node.network.request_handlers), key=lambda each: each.__qualname__
        )
        self._defined = [*served, *TO_ACTORS]
        self._types: dict[int, type[Message[object]]] = dict(enumerate([*CONTROLS, *self._defined], TAGS_FROM))
        eve.body(
            [[self._definition(number) for number in list(self._types)[len(CONTROLS) :]], NOTHING, NOTHING, NOTHING]
        )
        self._generation = node.network.node_id.generation
        self.what = ""

    def next(self) -> None:
        """Send the next frame."""
        choose, eve = self._choose, self._eve
        kind = choose.of(KINDS)
        self.what = f"a frame of kind {kind}"
        if kind == frames.DATA and choose.one_in(8):
            self._chunk()
        elif kind == frames.DATA:
            self._body()
        elif kind == frames.BYE and not choose.one_in(4):
            eve.frame(frames.PING)
        elif kind in (frames.HELLO, frames.WELCOME, frames.REFUSE):
            self._handshake(kind)
        else:
            parts = (_encode([choose.below(9)]),) if choose.below(2) else ()
            eve.frame(kind, *parts, stream=choose.below(3))

    def _handshake(self, kind: int) -> None:
        choose = self._choose
        if kind == frames.REFUSE:
            body = struct_of(frames.SessionRefusal, choose)
        else:
            body = struct_of(frames.Greeting, choose)
            if isinstance(body, dict) and choose.below(3):
                body |= {
                    "node": choose.of(("eve", "ada", "eva")),
                    "endpoint": choose.of(("inprocess://eve", "inprocess://x")),
                }
                body |= {
                    "frame_bytes_max": 1_000_000,
                    "protocol_max": 2,
                    "attempt": int(kind == frames.HELLO),
                    "token": 9,
                }
        self._eve.frame(kind, _encode(body))

    def _chunk(self) -> None:
        choose = self._choose
        total = choose.of((1, 2, 1_000, 65_536, 1_000_000, 2**40, 2**63))
        head = b"".join(n.to_bytes(8, "big") for n in (choose.below(6), total, choose.of((0, 0, 0, 1, 1_000))))
        part = bytes(min(total, choose.of((1, 1, 1_000, 65_536))))
        self._eve.frame(frames.DATA, head[: HEAD_BYTES - choose.one_in(20)], part, stream=frames.BULK)

    def _body(self) -> None:
        choose = self._choose
        tags = self._definitions()
        refs: list[object] = [self._ref_definition() for _ in range(choose.few())] if choose.below(3) == 0 else []
        items = [self._item() for _ in range(1 + choose.few())]
        asks = sum(bool(item[1]) for item in items)
        deadlines = [choose.of(FLOATS) if choose.one_in(9) else 5.0 for _ in range(asks)]
        body: list[object] = [tags, refs, items, deadlines]
        if choose.one_in(6):
            body.append(
                [(choose.below(9), [choose.below(6) for _ in range(choose.few())]) for _ in range(choose.few())]
            )
            if choose.below(2):
                body.append([(choose.below(9), {"test-trace": choose.some_bytes()}) for _ in range(choose.few())])
        self.what += f" with {[self._types.get(item[2]) for item in items]}"[:300]
        data = _encode(anything(choose)) if choose.one_in(60) else _encode(body)
        if choose.one_in(40):
            at = choose.below(len(data))
            data = data[:at] + choose.some_bytes() + data[at + choose.below(3) :]
        self._eve.body(data, stream=choose.of((frames.NORMAL, frames.NORMAL, frames.CONTROL)))

    def _definitions(self) -> list[object]:
        choose = self._choose
        found: list[object] = []
        for _ in range(choose.few() if choose.one_in(5) else 0):
            number = TAGS_FROM + len(CONTROLS) + choose.below(40)
            if choose.one_in(12):
                found.append((choose.of(NUMBERS[:9]), choose.of(TEXTS), choose.some_bytes()))
                continue
            self._types[number] = choose.of(self._defined)
            found.append(self._definition(number))
        return found

    def _definition(self, number: int) -> object:
        return number, tag_of(self._types[number]), fingerprint(self._types[number])

    def _ref_definition(self) -> object:
        choose = self._choose
        node, generation = choose.of(
            (("eve", self._eve.node_id.generation), ("victim", self._generation), ("x", 1), ("victim", 1), ("ada", 7))
        )
        uid = choose.below(20) if choose.below(4) else choose.of(NUMBERS)
        endpoint = choose.of(("", "", "", "inprocess://x", *TEXTS[8:12]))
        return choose.below(12), node, generation, choose.of(TEXTS[:6]), uid, endpoint

    def _item(self) -> tuple[int, int, int, object]:
        choose = self._choose
        number = choose.of(sorted(self._types)) if choose.below(12) else choose.below(60)
        type_ = self._types.get(number)
        to = self._uid if type_ in TO_ACTORS else 0
        if choose.one_in(15):
            to = choose.below(20)
        correlation = choose.below(30) if choose.below(2) else 0
        make: Callable[[Choices], object] = anything if type_ is None else lambda some: struct_of(type_, some)
        payload = ref(choose) if choose.one_in(40) else make(choose)
        if choose.one_in(40):
            number, payload = choose.below(2), value_of(object, choose)
        return to, correlation, number, payload
