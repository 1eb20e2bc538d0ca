"""Links over the simulated transport that break a thousand times, and peers that stop reading."""

import asyncio
from random import Random

from tests.runtime.session.shell import Shell, shells
from trouper.runtime.session.settings import SessionSettings
from trouper.testing import virtual_time
from trouper.transports.network_faults import Quality
from trouper.transports.simulated import SimulatedNetwork

FLAPS = 1_000
ROOM = {"_alarms": 30, "streams": 200}
"""How much more than after a few flaps may be kept in a table after many; nothing in the others."""


def _check_no_growth(shell: Shell, before: dict[str, int]) -> None:
    grown = {name: size for name, size in shell.sizes().items() if size > before[name] + ROOM.get(name, 0)}
    assert grown == {}, f"{shell.name}: {before}"


@virtual_time
async def test_a_link_that_flaps_a_thousand_times_loses_nothing() -> None:
    """Resets, short partitions and lost frames under traffic both ways: one session, every body once and in order."""
    rng = Random(1)
    network = SimulatedNetwork(rng, Quality(delay_s=0.001, jitter_s=0.002))
    a, b = await shells(network, "ab")
    sessions, before = (a.up["b"], b.up["a"]), list[dict[str, int]]()
    network.faults.set_quality(Quality(delay_s=0.001, jitter_s=0.002, loss=0.02, duplication=0.02, reorder=0.05))
    for flap in range(FLAPS):
        for _ in range(3):
            a.tell("b")
            b.tell("a")
            await asyncio.sleep(rng.choice([0.0, 0.001, 0.05]))
        if flap % 3 == 2:
            network.faults.partition("a", "b")
            await asyncio.sleep(rng.choice([0.01, 0.05, 0.3]))
            network.faults.repair("a", "b")
        network.reset(*("ab" if flap % 2 else "ba"))
        if flap == 20:
            before = [shell.sizes() for shell in (a, b)]
    network.faults.set_quality(Quality())
    await asyncio.sleep(60.0)
    assert (a.heard["b"], b.heard["a"]) == (b.told["a"], a.told["b"])
    assert (a.up["b"], b.up["a"]) == sessions
    assert sessions[0].breaks + sessions[1].breaks >= FLAPS // 2
    for shell, sizes in zip((a, b), before, strict=True):
        _check_no_growth(shell, sizes)


@virtual_time
async def test_a_link_that_ends_a_thousand_times_for_being_idle_loses_nothing() -> None:
    """A session for each few bodies: what is told arrives once and in order through all of them."""
    network = SimulatedNetwork(Random(1), Quality(delay_s=0.001, loss=0.02))
    a, b = await shells(network, "ab", once=True)
    before = list[dict[str, int]]()
    for turn in range(FLAPS):
        for one, other in ((a, "b"), (b, "a")):
            one.carry_out(one.manager.connect(f"sim://{other}", network.loop.time(), once=True))
        while not (a.tell("b") and b.tell("a")):  # noqa: ASYNC110  what is waited for has no event here
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        for one, other in ((a, "b"), (b, "a")):
            if (session := one.up.get(other)) is not None:
                session.in_use = False
                one.carry_out(one.manager.close_idle(session, network.loop.time()))
        await asyncio.sleep(2.0)
        if turn == 20:
            before = [shell.sizes() for shell in (a, b)]
    await asyncio.sleep(60.0)
    assert set(a.downs) == set(b.downs) == {"idle"}
    assert min(len(a.downs), len(b.downs)) > FLAPS * 0.9
    assert (a.heard["b"], b.heard["a"]) == (b.told["a"], a.told["b"])
    for shell, sizes in zip((a, b), before, strict=True):
        _check_no_growth(shell, sizes)


@virtual_time
async def test_a_peer_that_stops_reading_costs_no_more_than_its_window() -> None:
    """What is kept for it is bounded, another peer is served as before, and it gets everything when it reads again."""
    settings = SessionSettings(frame_bytes_max=2_000, window_bytes=20_000, ack_bytes=8_000)
    network = SimulatedNetwork(Random(1))
    a, b, c = await shells(network, "abc", settings)
    network.faults.hold("a", "b")
    for _ in range(200):
        a.tell("b", 1_000)
        assert a.tell("c", 1_000)
        await asyncio.sleep(0.01)
    assert a.up["b"].sequencer.unacknowledged_bytes == settings.window_bytes
    assert a.told["b"] == settings.window_bytes // 1_000
    assert c.heard["a"] == 200
    network.release("a", "b")
    await asyncio.sleep(5.0)
    assert (b.heard["a"], c.heard["a"]) == (a.told["b"], 200)
    assert a.downs == []
