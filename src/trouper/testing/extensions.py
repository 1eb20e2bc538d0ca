"""Tests of extensions: a scenario on simulated nodes that all have one, and a check that it keeps to its life."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from . import checks
from .simulation import Outcome, Simulation, simulate

if TYPE_CHECKING:
    from ..node import Node
    from ..runtime.node.extension import AnyExtension

RESTARTED_S = 10.0
"""Seconds of virtual time within which an extension must run again after a failure."""

MakeExtension = Callable[[], "AnyExtension"]
"""Makes an extension for one start of one node: its class, or ``functools.partial(RateLimiter, Limits(3))``."""


def simulate_extension(
    make: MakeExtension,
    scenario: Callable[[Simulation], Coroutine[object, object, object]],
    *,
    nodes: int | Sequence[str] = 3,
    requires: Sequence[MakeExtension] = (),
    **arguments: Any,  # Any: the other arguments of simulate, each of its own type
) -> Outcome:
    """Run a scenario on simulated nodes, each of which has the extension; the arguments are those of ``simulate``.

    In the scenario ``await simulation.run_on("n1", lambda node: node[RateLimiter].acquire())`` calls it on a node.
    requires: what makes the extensions that it requires.
    Raises what ``simulate`` raises, and ``SimulationFailed`` when at the end the extension of a node that is up neither
    runs nor is dormant.
    """

    async def play(simulation: Simulation) -> None:
        await scenario(simulation)
        await simulation.settle()
        checks.hold([problem for node in simulation.nodes for problem in _not_at_work(node)])

    given = arguments.pop("options", None)

    def options(name: str) -> dict[str, Any]:  # Any: each argument of Node has its own type
        own = dict(given(name)) if given is not None else {}
        extensions = [*own.pop("extensions", ()), *(each() for each in requires), make()]
        return {**own, "extensions": extensions}

    return simulate(play, nodes=nodes, options=options, **arguments)


def check_extension(
    make: MakeExtension, *, requires: Sequence[MakeExtension] = (), nodes: int = 2, seed: int = 0
) -> None:
    """Start an extension on simulated nodes, fail it on each, wait until it runs again, and stop the nodes.

    make, requires, nodes: as for ``simulate_extension``.
    Raises ``SimulationFailed`` when, after its failure, it does not run again within 10 s of virtual time, or serves
    other messages or has other named actors than before, and when it leaves tasks or timers behind.
    """
    kind = type(make())

    async def life(simulation: Simulation) -> None:
        for node in simulation.nodes:
            await simulation.run_on(node.name, lambda node: node[kind].ready())
            before = _made_by(node, kind)
            actor = node.find(f"system/{kind.name}")
            assert actor is not None, "ready() has returned"
            simulation.crash(actor)
            await simulation.settle()
            await simulation.run_on(node.name, lambda node: node[kind].ready())
            await simulation.settle()
            after = _made_by(node, kind)
            checks.hold([f"extension {kind.name} has {after} after a failure, and had {before}"] * (before != after))

    simulate_extension(make, life, nodes=nodes, requires=requires, seed=seed)


def _not_at_work(node: Node) -> list[str]:
    return [
        f"extension {info.name} of node {node.name} is {info.state}: {info.error}"
        for info in node.extensions
        if info.state not in ("running", "dormant")
    ]


def _made_by(node: Node, kind: type[AnyExtension]) -> tuple[list[str], list[str]]:
    """Return the names of the types that an extension serves, and those that it has given to actors."""
    served = node[kind].context.served
    actor = node.find(f"system/{kind.name}")
    children = () if actor is None else actor._cell.children or ()  # noqa: SLF001  a check looks below the interface
    return sorted(type_.__qualname__ for type_ in served), sorted(name for name in children if not name.startswith("$"))
