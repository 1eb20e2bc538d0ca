"""A reference model of a supervision tree: naive, recursive, written from the documentation of OTP's ``supervisor``.

It knows nothing of loops, mailboxes or cells: an operation is carried out whole, there and then, and leaves behind
what is alive and a history of starts and stops. Where Trouper means to differ from OTP, it says so here:

* a child that ended for good is not brought back when its siblings restart together: its watchers know it is gone;
* ``ref.stop()`` is OTP's ``terminate_child``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trouper.runtime.kernel.supervision import AutoShutdown, Restart

History = list[tuple[str, str]]


@dataclass(frozen=True)
class Spec:
    """A child as the specification has it; ``strategy`` is None for a worker."""

    name: str
    restart: Restart = "permanent"
    significant: bool = False
    strategy: str | None = None
    restarts: int = 3
    within_s: float = 5.0
    auto_shutdown: AutoShutdown = "never"
    kids: tuple[Spec, ...] = ()


@dataclass(eq=False)
class Child:
    """A living child: started and not yet ended for good. ``up`` is False while its instance is down."""

    spec: Spec
    parent: Child | None
    path: str
    up: bool = False
    kids: dict[str, Child] = field(default_factory=dict["str", "Child"])
    listed: dict[str, Spec] = field(default_factory=dict[str, Spec])
    times: list[float] = field(default_factory=list[float])


class Model:
    """The tree under ``/user``, which restarts its one child without end.

    ``climbed``: the end of a child has ended its supervisor since this was set to False.
    """

    def __init__(self, top: Spec) -> None:
        self.history: History = []
        self.broken: dict[str, int] = {}
        self.now = 0.0
        self.climbed = False
        self.user = Child(Spec("user", strategy="one_for_one", restarts=1_000_000), None, "")
        self._add(self.user, top)

    def alive(self) -> list[str]:
        """The paths of all living children, parents before children, siblings oldest first."""
        return [child.path for child in self.children()]

    def children(self) -> Iterator[Child]:
        """All living children."""
        front = list(self.user.kids.values())
        while front:
            child = front.pop(0)
            yield child
            front = [*child.kids.values(), *front]

    # --- what may happen ---------------------------------------------------------------------------------------------

    def ended_by_itself(self, child: Child, *, failed: bool) -> None:
        """A child fails, or stops itself."""
        parent, spec = child.parent, child.spec
        assert parent is not None, "nothing happens to /user itself"
        if spec.restart == "temporary" or (spec.restart == "transient" and not failed):
            self.terminate(child)
            others = [kid for kid in parent.kids.values() if kid.spec.significant]
            ends = {"never": False, "any_significant": True, "all_significant": not others}[parent.spec.auto_shutdown]
            if spec.significant and ends:
                self.climbed = True
                self.ended_by_itself(parent, failed=False)
            return
        parent.times = [time for time in parent.times if time >= self.now - parent.spec.within_s] + [self.now]
        if len(parent.times) > parent.spec.restarts:
            self.climbed = True
            self.terminate(child)
            self.ended_by_itself(parent, failed=True)
            return
        self._restart_together(self._affected(parent, child))

    def terminate(self, child: Child) -> None:
        """A child is ended for good; its line in the list stays, unless it is temporary."""
        assert child.parent is not None, "nothing ends /user"
        self._down(child)
        del child.parent.kids[child.spec.name]
        if child.spec.restart == "temporary":
            child.parent.listed.pop(child.spec.name, None)

    def start_child(self, parent: Child, spec: Spec) -> str | None:
        """Add a child; says why not."""
        if spec.name in parent.listed:
            return "already_running" if spec.name in parent.kids else "already_present"
        if spec.significant and parent.spec.auto_shutdown == "never":
            return "not_allowed"
        return None if self._add(parent, spec) else "start_failed"

    def restart_child(self, parent: Child, name: str) -> str | None:
        """Start a child that has ended in its old place; says why not."""
        if name not in parent.listed:
            return "not_found"
        if name in parent.kids:
            return "running"
        if not self._add(parent, parent.listed[name]):
            return "start_failed"
        parent.kids = {each: parent.kids[each] for each in parent.listed if each in parent.kids}
        return None

    def delete_child(self, parent: Child, name: str) -> str | None:
        """Take a line out of the list; says why not."""
        if name not in parent.listed:
            return "not_found"
        if name in parent.kids:
            return "running"
        del parent.listed[name]
        return None

    # --- how ---------------------------------------------------------------------------------------------------------

    def _affected(self, parent: Child, child: Child) -> list[Child]:
        kids = list(parent.kids.values())
        if parent.spec.strategy == "one_for_all":
            return kids
        return kids[kids.index(child) :] if parent.spec.strategy == "rest_for_one" else [child]

    def _restart_together(self, together: list[Child]) -> None:
        for child in reversed(together):
            if child.spec.restart == "temporary":
                self.terminate(child)
            else:
                self._down(child)
        for child in together:
            if child.spec.restart != "temporary" and not self._up(child):
                self.ended_by_itself(child, failed=True)
                return

    def _add(self, parent: Child, spec: Spec) -> bool:
        child = Child(spec, parent, f"{parent.path}/{spec.name}")
        parent.kids[spec.name] = child
        started = self._up(child)
        if started:
            parent.listed[spec.name] = spec
        else:
            self._down(child)
            del parent.kids[spec.name]
        return started

    def _up(self, child: Child) -> bool:
        """Start an instance; says whether it worked."""
        if child.spec.strategy is None:
            if self.broken.get(child.path, 0) > 0:
                self.broken[child.path] -= 1
                self.history.append(("broken", child.path))
                return False
            self.history.append(("start", child.path))
        child.times, child.kids = [], {}
        child.listed = {spec.name: spec for spec in child.spec.kids}
        child.up = all(self._add(child, spec) for spec in child.spec.kids)
        return child.up

    def _down(self, child: Child) -> None:
        for kid in reversed(list(child.kids.values())):
            self._down(kid)
        child.kids = {}
        if child.up and child.spec.strategy is None:
            self.history.append(("stop", child.path))
        child.up = False
