"""The torture of a cluster can fail: each of these is broken on purpose, and is found out within a few seeds.

A check that has never been seen to fail proves nothing.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import pytest

from tests.simulation.cluster_players import NODES
from tests.simulation.test_cluster_torture import NETWORK, QUALITY, TOUGH, torture
from trouper.runtime.journal.segments import Append, IsStale, StreamFiles
from trouper.runtime.kernel.ask import Ask
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.ref import Down
from trouper.runtime.net.incoming_asks import IncomingAsks
from trouper.runtime.net.peer import Peer
from trouper.runtime.net.remote_cell import RemoteCell
from trouper.runtime.session.session import Sequencer
from trouper.testing import Risks, simulate
from trouper.transports.network_faults import NetworkFaults

SEEDS_MAX = 30
"""Seeds within which what is broken must be found out."""
EVERY = 10
"""One in so many is what a sneaky fault touches."""
CRASHES = Risks(kinds=("node_crash",), faults_max=10, within_s=15.0, for_s_max=4.0)
Break = Callable[[pytest.MonkeyPatch], None]
Body = bytes | bytearray | memoryview


def _loses_frames(patch: pytest.MonkeyPatch) -> None:
    receive, chance = Peer.receive, random.Random(0)

    def forgetful(peer: Peer, *args: Body) -> None:
        if chance.randrange(EVERY):
            receive(peer, *args)

    patch.setattr(Peer, "receive", forgetful)


def _delivers_twice(patch: pytest.MonkeyPatch) -> None:
    receive, chance = Peer.receive, random.Random(0)

    def generous(peer: Peer, *args: Body) -> None:
        receive(peer, *args)
        if not chance.randrange(EVERY):
            receive(peer, *args)

    patch.setattr(Peer, "receive", generous)


def _swaps_frames(patch: pytest.MonkeyPatch) -> None:
    receive, chance = Peer.receive, random.Random(0)
    kept: dict[Peer, Sequence[Body]] = {}

    def careless(peer: Peer, *args: Body) -> None:
        if peer not in kept and not chance.randrange(2):
            kept[peer] = args
            asyncio.get_running_loop().call_later(0.05, late, peer)
            return
        receive(peer, *args)

    def late(peer: Peer) -> None:
        receive(peer, *kept.pop(peer))

    patch.setattr(Peer, "receive", careless)


def _pays_down_twice(patch: pytest.MonkeyPatch) -> None:
    end_for_now = RemoteCell.end_for_now

    def generous(cell: RemoteCell, reason: str, error: str | None) -> None:
        watchers = list(cell.watchers or ())
        end_for_now(cell, reason, error)
        for watcher in watchers:
            watcher.on_down(Down(cell.ref, reason, error))

    patch.setattr(RemoteCell, "end_for_now", generous)


def _forgets_the_watchers_of_a_lost_node(patch: pytest.MonkeyPatch) -> None:
    end_for_now = RemoteCell.end_for_now

    def forgetful(cell: RemoteCell, reason: str, error: str | None) -> None:
        if reason == "node_lost":
            cell.watchers = None
        end_for_now(cell, reason, error)

    patch.setattr(RemoteCell, "end_for_now", forgetful)


def _says_stopped_of_a_lost_node(patch: pytest.MonkeyPatch) -> None:
    end_for_now = RemoteCell.end_for_now

    def vague(cell: RemoteCell, reason: str, error: str | None) -> None:
        end_for_now(cell, "stopped" if reason == "node_lost" else reason, error)

    patch.setattr(RemoteCell, "end_for_now", vague)


def _leaves_asks_open(patch: pytest.MonkeyPatch) -> None:
    def expire(_: object) -> None: ...

    patch.setattr(Ask, "expire", expire)


def _answers_the_wrong_ask(patch: pytest.MonkeyPatch) -> None:
    reply, chance = IncomingAsks.reply, random.Random(0)

    def confused(incoming_asks: IncomingAsks, correlation: int, value: object) -> None:
        wrong = correlation > 1 and not chance.randrange(EVERY)
        reply(incoming_asks, correlation - wrong, value)

    patch.setattr(IncomingAsks, "reply", confused)


def _takes_every_frame_for_new(patch: pytest.MonkeyPatch) -> None:
    take = Sequencer.take

    def credulous(sequencer: Sequencer, *args: object) -> object:
        verdict = take(sequencer, *args)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  handed on
        return "next" if verdict == "seen" else verdict

    arrivals, chance = NetworkFaults.arrivals, random.Random(0)

    def doubling(network: NetworkFaults, *args: object, **named: object) -> tuple[float, ...] | None:
        """Double a frame in fifty, which a sound session takes once."""
        times = arrivals(network, *args, **named)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  handed on
        return times if chance.randrange(50) or times is None else times * 2

    patch.setattr(Sequencer, "take", credulous)
    patch.setattr(NetworkFaults, "arrivals", doubling)


def _acknowledges_without_fsync(patch: pytest.MonkeyPatch) -> None:
    commit = StreamFiles.commit

    def hasty(files: StreamFiles, appends: Sequence[Append], *, fsync: bool, is_stale: IsStale) -> object:
        return commit(files, appends, fsync=False, is_stale=is_stale)

    patch.setattr(StreamFiles, "commit", hasty)


def _forgets_downs(patch: pytest.MonkeyPatch) -> None:
    on_down, chance = Cell.on_down, random.Random(0)

    def forgetful(cell: Cell, down: Down) -> None:
        if chance.randrange(4):
            on_down(cell, down)

    patch.setattr(Cell, "on_down", forgetful)


BREAKS: dict[str, tuple[Break, str, Risks]] = {
    "loses frames": (_loses_frames, "was neither handled nor a dead letter", NETWORK),
    "delivers twice": (_delivers_twice, "is handled again", NETWORK),
    "swaps frames": (_swaps_frames, "from its sender and came after number", NETWORK),
    "pays a Down twice": (_pays_down_twice, "was not owed", NETWORK),
    "forgets the watchers of a lost node": (_forgets_the_watchers_of_a_lost_node, "and heard nothing", CRASHES),
    "says stopped of a lost node": (_says_stopped_of_a_lost_node, "came though its node has crashed", CRASHES),
    "leaves asks open": (_leaves_asks_open, "never ended", NETWORK),
    "answers the wrong ask": (_answers_the_wrong_ask, "got the reply to", NETWORK),
    "takes every frame for new": (_takes_every_frame_for_new, "is handled again", NETWORK),
    "acknowledges without fsync": (_acknowledges_without_fsync, "numbers after its start", CRASHES),
    "forgets Downs": (_forgets_downs, "and heard nothing", NETWORK),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_cluster_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torture fails on nodes that break one law, and says which."""
    break_it, expected, risks = BREAKS[name]
    break_it(monkeypatch)
    found: list[str] = []
    for seed in range(SEEDS_MAX):
        plan = risks.draw(random.Random(f"{seed}/faults"))
        try:
            simulate(torture, seed=seed, plan=plan, nodes=NODES, quality=QUALITY, supervision=TOUGH)
        except Exception as error:  # noqa: BLE001  whatever it raises is a finding
            found.append(f"seed {seed}: {error!r}"[:300])
            if expected in str(error):
                return
    pytest.fail(f"nodes, one of which {name}, were not found out by {expected!r}, but: {found[:3]}")
