"""The torture and the scenarios can fail: each of these machines is broken on purpose, and is found out.

A check that has never been seen to fail proves nothing.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.clustering.cases import QUICK
from benchmarks.clustering.network import Network
from tests.actors.cluster.membership.test_machine_torture import tortured
from trouper.actors.cluster.membership import (
    Accusation,
    Departed,
    Member,
    MembershipEvent,
    Status,
    Suspected,
    SwimSettings,
    Unreachable,
    view,
)
from trouper.actors.cluster.membership.broadcasts import BroadcastQueue
from trouper.actors.cluster.membership.digest import ViewDigest
from trouper.actors.cluster.membership.dissemination import Dissemination
from trouper.actors.cluster.membership.probe_schedule import ProbeSchedule
from trouper.actors.cluster.membership.records import Update, supersedes
from trouper.actors.cluster.membership.suspicions import Suspicion
from trouper.actors.cluster.membership.view import MembershipView

SEEDS_MAX = 40
"""Seeds within which a broken machine must be found out."""
Break = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[int], list[str]]


# -- what looks on -----------------------------------------------------------------------------------------------------


def _heard(network: Network) -> list[tuple[float, str, MembershipEvent]]:
    heard: list[tuple[float, str, MembershipEvent]] = []
    network.observe = lambda now, name, event: heard.append((now, name, event))
    return heard


def paused_are_spared(seed: int) -> list[str]:
    """A node that stands still for two seconds again and again is suspected, and nobody gives it up."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    names = network.grow(10)
    heard = _heard(network)
    for _ in range(20):
        network.run(network.now + 10)
        network.pause(names[0], 2.0)
    return [f"{name} gave up {event.member.name}" for _, name, event in heard if isinstance(event, Unreachable)]


def deaths_are_news(seed: int) -> list[str]:
    """A node that cannot tell by itself yet, since its clock has leapt, hears of a death from the others."""
    network = Network(seed, SwimSettings.lan())
    names = network.grow(20)
    heard = _heard(network)
    network.run(5)
    network.crash(names[0])
    while not any(isinstance(event, Suspected) for _, _, event in heard):
        network.run(network.now + 0.1)
    network.run(network.now + 2)
    late = names[1]
    node = network.nodes[late]
    network.act(late, [*node.tick(network.now + 60), *node.tick(network.now)])
    network.run(network.now + 60)
    known = {name: now for now, name, event in heard if isinstance(event, Unreachable)}
    if late not in known:
        return [f"{late} never knew"]
    behind_s = known[late] - min(known.values())
    return [f"{late} knew {behind_s:.1f} s after the first"] if behind_s > 1 else []


def leaving_is_no_failure(seed: int) -> list[str]:
    """A node that leaves is reported as left by every member, and as lost by none."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    names = network.grow(10)
    heard = _heard(network)
    network.run(5)
    network.act(names[0], network.nodes[names[0]].leave(network.now))
    network.run(network.now + 30)
    missing = set(names[1:]) - {name for _, name, event in heard if isinstance(event, Departed)}
    lost = [f"{name} lost the one who left" for _, name, event in heard if isinstance(event, Unreachable)]
    return [*lost, *(f"{name} did not hear who left" for name in sorted(missing))]


def the_left_stay_away(seed: int) -> list[str]:
    """Somebody who slept through a leave tells three others that who left is alive: nobody believes it."""
    network = Network(seed, SwimSettings.lan(), loss=0.01)
    leaver, *others = network.grow(10)
    network.run(5)
    network.act(leaver, network.nodes[leaver].leave(network.now))
    network.run(network.now + 20)
    old = network.nodes[leaver].me.become(Status.ALIVE)
    problems: list[str] = []
    for name in others[:3]:
        node = network.nodes[name]
        network.act(name, node.acquaint([old], network.now))
        held = node.records().get(leaver)
        if held is not None and held.is_present:
            problems.append(f"{name} sees who left as {held.status.name}")
    return problems


def crashes_are_found(seed: int) -> list[str]:
    """The crash case of the table, at a small size."""
    outcome = QUICK["crash"](seed)
    return [] if outcome.holds else [f"{outcome.figures}"]


# -- what is broken ----------------------------------------------------------------------------------------------------


def _never_refutes(patch: pytest.MonkeyPatch) -> None:
    def stay_silent(_view: MembershipView, _accused: int) -> None: ...

    patch.setattr(MembershipView, "_refute", stay_silent)


def _believes_a_suspicion_at_once(patch: pytest.MonkeyPatch) -> None:
    begin = Suspicion.__init__

    def hasty(suspicion: Suspicion, settings: SwimSettings, members: int, by: str, now: float) -> None:
        begin(suspicion, settings, members, by, now)
        suspicion.lasts_s = 0.0

    patch.setattr(Suspicion, "__init__", hasty)


def _holds_the_older_record(patch: pytest.MonkeyPatch) -> None:
    def upside_down(new: Member, old: Member) -> bool:
        return supersedes(old, new)

    patch.setattr(view, "supersedes", upside_down)


def _tells_nobody_of_a_death(patch: pytest.MonkeyPatch) -> None:
    put = BroadcastQueue.put

    def discreet(queue: BroadcastQueue, update: Update) -> None:
        if not (isinstance(update, Accusation) and update.dead):
            put(queue, update)

    patch.setattr(BroadcastQueue, "put", discreet)


def _accuses_in_silence(patch: pytest.MonkeyPatch) -> None:
    put = BroadcastQueue.put

    def discreet(queue: BroadcastQueue, update: Update) -> None:
        if not isinstance(update, Accusation):
            put(queue, update)

    patch.setattr(BroadcastQueue, "put", discreet)


def _forgets_the_gone_at_once(patch: pytest.MonkeyPatch) -> None:
    lan = replace(SwimSettings(), tombstone_s=0.001)
    patch.setattr(SwimSettings, "lan", lambda: lan)


def _probes_half_of_its_list(patch: pytest.MonkeyPatch) -> None:
    next_target = ProbeSchedule.next_target

    def lazy(schedule: ProbeSchedule, wanted: Callable[[str], bool | None]) -> str | None:
        order, place = getattr(schedule, "_order"), getattr(schedule, "_place")  # noqa: B009  the fault is inside
        if 2 * place >= len(order):
            order.sort()
            setattr(schedule, "_place", 0)  # noqa: B010  the fault is inside
        return next_target(schedule, wanted)

    patch.setattr(ProbeSchedule, "next_target", lazy)


def _takes_a_leave_for_a_death(patch: pytest.MonkeyPatch) -> None:
    hear = MembershipView.receive

    def confused(view: MembershipView, record: Member, source: str, now: float, *, spread: bool = True) -> None:
        if record.status is Status.LEFT:
            view.accuse(Accusation(record.name, record.generation, record.incarnation, source, dead=True), now)
        else:
            hear(view, record, source, now, spread=spread)

    patch.setattr(MembershipView, "receive", confused)


def _takes_all_digests_for_its_own(patch: pytest.MonkeyPatch) -> None:
    def content(_digest: ViewDigest, _count: int, _buckets: bytes) -> int:
        return 0

    patch.setattr(ViewDigest, "differing", content)


def _keeps_no_digest_of_what_changes(patch: pytest.MonkeyPatch) -> None:
    replace_record = ViewDigest.replace

    def forgetful(digest: ViewDigest, before: Member | None, after: Member | None) -> None:
        if before is None:
            replace_record(digest, before, after)

    patch.setattr(ViewDigest, "replace", forgetful)


def _gossips_with_nobody(patch: pytest.MonkeyPatch) -> None:
    def secretive(_dissemination: Dissemination, *_texts: str) -> tuple[Update, ...]:
        return ()

    patch.setattr(Dissemination, "piggyback", secretive)


BREAKS: dict[str, tuple[Break, Check]] = {
    "never refutes": (_never_refutes, tortured),
    "believes a suspicion at once": (_believes_a_suspicion_at_once, paused_are_spared),
    "holds the older record": (_holds_the_older_record, tortured),
    "tells nobody of a death": (_tells_nobody_of_a_death, deaths_are_news),
    "accuses in silence": (_accuses_in_silence, crashes_are_found),
    "forgets the gone at once": (_forgets_the_gone_at_once, the_left_stay_away),
    "probes half of its list": (_probes_half_of_its_list, tortured),
    "takes a leave for a death": (_takes_a_leave_for_a_death, leaving_is_no_failure),
    "takes all digests for its own": (_takes_all_digests_for_its_own, tortured),
    "keeps no digest of what changes": (_keeps_no_digest_of_what_changes, tortured),
    "gossips with nobody": (_gossips_with_nobody, crashes_are_found),
}
CHECKS: list[Check] = [paused_are_spared, deaths_are_news, leaving_is_no_failure, the_left_stay_away, crashes_are_found]


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_machine_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a few seeds its check says that something is wrong."""
    break_it, check = BREAKS[name]
    break_it(monkeypatch)
    assert any(check(seed) for seed in range(SEEDS_MAX)), f"a machine that {name} was not found out"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("seed", range(4))
def test_the_whole_machine_passes(check: Check, seed: int) -> None:
    """What finds the broken ones out finds nothing here."""
    assert check(seed) == []
