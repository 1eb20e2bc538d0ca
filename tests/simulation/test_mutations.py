"""The torture can fail: each of these kernels is broken on purpose, and is found out within a few seeds.

A check that has never been seen to fail proves nothing.
"""

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from tests.simulation.messages import Slow
from tests.simulation.test_torture import RISKS, TOUGH, torture
from tests.simulation.troupe import PLAYERS
from trouper import ActorRef, DeadLetter, Down, Message, Node
from trouper.runtime.actor.timers import Timers
from trouper.runtime.kernel import invocation, lifecycle
from trouper.runtime.kernel.ask import Ask
from trouper.runtime.kernel.bare_actor import BareActor
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.supervision import SupervisorState
from trouper.runtime.kernel.system import System
from trouper.testing import simulate
from trouper.testing.schedule import TracedMail

SEEDS_MAX = 60
"""Seeds within which a broken kernel must be found out."""
Break = Callable[[pytest.MonkeyPatch], None]
EVERY = 20
"""One in so many is what a sneaky fault touches."""


def _drops_messages(patch: pytest.MonkeyPatch) -> None:
    tell, chance = ActorRef.tell, random.Random(0)

    def forgetful(ref: ActorRef, message: Message[object]) -> object:
        return None if chance.randrange(EVERY) == 0 else tell(ref, message)

    patch.setattr(ActorRef, "tell", forgetful)


def _retries_what_failed(patch: pytest.MonkeyPatch) -> None:
    failed = getattr(invocation, "_failed")  # noqa: B009  the fault is inside

    def stubborn(cell: Cell, error: BaseException, item: object, *rest: object, **options: object) -> None:
        failed(cell, error, item, *rest, **options)
        cell.return_to_front([item])

    patch.setattr(invocation, "_failed", stubborn)


def _pays_down_twice(patch: pytest.MonkeyPatch) -> None:
    on_down = Cell.on_down

    def generous(cell: Cell, down: Down) -> None:
        on_down(cell, down)
        on_down(cell, down)

    patch.setattr(Cell, "on_down", generous)


def _forgets_downs(patch: pytest.MonkeyPatch) -> None:
    on_down, chance = Cell.on_down, random.Random(0)

    def forgetful(cell: Cell, down: Down) -> None:
        if chance.randrange(4):
            on_down(cell, down)

    patch.setattr(Cell, "on_down", forgetful)


def _runs_handlers_at_once(patch: pytest.MonkeyPatch) -> None:
    for player in PLAYERS:
        entries = player.__handler_table__.entries
        patch.setitem(entries, Slow, dataclasses.replace(entries[Slow], reentrant=True))


def _delivers_the_newest_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TracedMail, "append", TracedMail.appendleft)


def _returns_a_stash_backwards(patch: pytest.MonkeyPatch) -> None:
    return_to_front = Cell.return_to_front

    def backwards(cell: Cell, items: Sequence[object]) -> None:
        return_to_front(cell, items[::-1])

    patch.setattr(Cell, "return_to_front", backwards)


def _forgets_to_count_the_dead(patch: pytest.MonkeyPatch) -> None:
    def uncounted(system: System, message: object, target: ActorRef, reason: str, *_: object, **__: object) -> None:
        assert isinstance(system.host, Node)
        for look in system.host.reports.on_letter:
            look(DeadLetter(cast("Message[object]", message), target, reason))

    patch.setattr(System, "dead_letter", uncounted)


def _restarts_without_end(patch: pytest.MonkeyPatch) -> None:
    def count(_: SupervisorState, __: str, ___: float) -> int:
        return 1

    patch.setattr(SupervisorState, "_count", count)


def _keeps_timers_over_a_restart(patch: pytest.MonkeyPatch) -> None:
    def release(timers: Timers, cell: Cell, *, restarting: bool) -> None: ...

    patch.setattr(Timers, "release", release)


def _leaves_asks_open(patch: pytest.MonkeyPatch) -> None:
    def expire(_: object) -> None: ...

    patch.setattr(Ask, "expire", expire)


def _starts_a_dead_instance_again(patch: pytest.MonkeyPatch) -> None:
    build = Cell.build
    first: dict[Cell, BareActor] = {}

    def hold_on(cell: Cell) -> BareActor:
        return first.setdefault(cell, build(cell))

    patch.setattr(Cell, "build", hold_on)


def _frees_no_names(patch: pytest.MonkeyPatch) -> None:
    finish = lifecycle.finish

    def careless(cell: Cell, reason: str, error: BaseException | None) -> None:
        finish(cell, reason, error)
        if cell.parent is not None and cell.parent.children is not None:
            cell.parent.children[cell.name] = cell

    patch.setattr(lifecycle, "finish", careless)


BREAKS: dict[str, tuple[Break, str]] = {
    "drops messages": (_drops_messages, "was neither handled nor a dead letter"),
    "retries what failed": (_retries_what_failed, "is handled again"),
    "pays a Down twice": (_pays_down_twice, "was not owed"),
    "forgets Downs": (_forgets_downs, "and heard nothing"),
    "runs handlers at once": (_runs_handlers_at_once, "begins while"),
    "delivers the newest first": (_delivers_the_newest_first, "from its sender and came after number"),
    "returns a stash backwards": (_returns_a_stash_backwards, "came back from the stash before"),
    "forgets to count the dead": (_forgets_to_count_the_dead, "messages are unaccounted for"),
    "restarts without end": (_restarts_without_end, "had to fail"),
    "keeps timers over a restart": (_keeps_timers_over_a_restart, "but has"),
    "leaves asks open": (_leaves_asks_open, "never ended"),
    "starts a dead instance again": (_starts_a_dead_instance_again, "by a dead instance"),
    "frees no names": (_frees_no_names, "gone"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_kernel_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torture fails on a kernel that breaks one law, and says which."""
    break_it, expected = BREAKS[name]
    break_it(monkeypatch)
    found: list[str] = []
    for seed in range(SEEDS_MAX):
        try:
            simulate(torture, seed=seed, plan=RISKS.draw(random.Random(f"{seed}/faults")), supervision=TOUGH)
        except Exception as error:  # noqa: BLE001  whatever it raises is a finding
            found.append(f"seed {seed}: {error!r}")
            if expected in str(error):
                return
    pytest.fail(f"a kernel that {name} was not found out by {expected!r} within {SEEDS_MAX} seeds, but: {found[:3]}")
