"""``@seeds(1000)``: a test that is a simulation, run with many seeds.

The first seed that fails is run again, with the log on; a different result then is a failure by itself.  Faults of
the plan are left out one by one for as long as it still fails.  The test fails with the error of the smallest run, the
faults that it needs, and a command that runs exactly that again.

Environment: ``TROUPER_SEED=17`` runs that seed alone, ``TROUPER_FAULTS=0,2`` with these faults of its plan only (none:
empty), ``TROUPER_SEEDS=50`` sets how many seeds every test runs, and ``TROUPER_SOAK=1`` multiplies them by ten.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import random
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from ..runtime.kernel.errors import InvalidOption
from ..runtime.kernel.supervision import Strategy
from ..transports.network_faults import Quality
from .faults import Plan, Risks, shrink
from .simulation import NO_FAULTS, Simulation, simulate
from .virtual_time import STEPS_MAX

P = ParamSpec("P")
S = TypeVar("S")
SOAK_FACTOR = 10
"""How many times more seeds ``TROUPER_SOAK=1`` runs."""
Scenario = Callable[[Simulation], Coroutine[object, object, object]]
_LOGS = ("trouper", "asyncio")


class SeededTest(Protocol):
    """The decorator that ``seeds`` returns: for functions ``(sim, ...)``, and for methods ``(self, sim, ...)``."""

    @overload
    def __call__(
        self, test: Callable[Concatenate[Simulation, P], Coroutine[object, object, None]], /
    ) -> Callable[P, None]: ...
    @overload
    def __call__(
        self, test: Callable[Concatenate[S, Simulation, P], Coroutine[object, object, None]], /
    ) -> Callable[Concatenate[S, P], None]: ...


def seeds(
    count: int,
    *,
    risks: Risks | None = None,
    nodes: int | Sequence[str] | None = None,
    joins: Mapping[str, Sequence[str]] | None = None,
    options: Callable[[str], Mapping[str, Any]] | None = None,  # Any: each argument of Node has its own type
    quality: Quality | None = None,
    supervision: Strategy | None = None,
    ask_timeout_s: float = 5.0,
    steps_max: int = STEPS_MAX,
) -> SeededTest:
    """Make a plain test of ``async def test_it(sim)``: it is simulated with the seeds 0 .. ``count`` - 1.

    risks: the faults that a seed may draw; None for none.  The others are as for ``simulate``.  What a test takes
    besides ``sim`` (fixtures, parameters) is the same for all seeds, and so is ``self`` of a test that is a method.
    """

    def decorate(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
        is_method = _is_method(test)

        @functools.wraps(test)
        def run(*args: object, **kwargs: object) -> None:
            def play(seed: int, plan: Plan) -> str:
                outcome = simulate(
                    lambda sim: test(args[0], sim, *args[1:], **kwargs) if is_method else test(sim, *args, **kwargs),
                    seed=seed,
                    plan=plan,
                    nodes=nodes,
                    joins=joins,
                    options=options,
                    quality=quality,
                    supervision=supervision,
                    ask_timeout_s=ask_timeout_s,
                    steps_max=steps_max,
                )
                return outcome.digest

            _Runs(play, risks, _name_of(test)).run(count)

        parameters = list(inspect.signature(test).parameters.values())
        del parameters[int(is_method)]  # ``sim``
        setattr(run, "__signature__", inspect.Signature(parameters))  # noqa: B010  pytest reads it, type checkers do not know it
        return run

    return decorate


def _is_method(test: Callable[..., object]) -> bool:
    """Return whether a function is defined in the body of a class."""
    return test.__qualname__.rpartition("<locals>.")[2] != test.__name__


class _Runs:
    """All runs of one test."""

    def __init__(self, play: Callable[[int, Plan], str], risks: Risks | None, name: str) -> None:
        self._play, self._risks, self._name = play, risks, name

    def run(self, count: int) -> None:
        replayed = os.environ.get("TROUPER_SEED")
        if replayed is not None:
            seed = _number("TROUPER_SEED", replayed)
            self._play(seed, self._plan(seed).only(self._kept(len(self._plan(seed).faults))))
            return
        count = _count(count)
        for seed in range(count):
            with _quiet():
                error = self._failure(seed, self._plan(seed))
            if error is not None:
                self._explain(seed, count, error)

    def _explain(self, seed: int, count: int, first: BaseException) -> None:
        """Raise the failure of this seed, with as few faults as possible."""
        plan = self._plan(seed)
        with _quiet():
            kept = shrink(len(plan.faults), lambda places: _same(first, self._failure(seed, plan.only(places))))
        error = self._failure(seed, plan.only(kept))
        if error is None:
            first.add_note(
                f"seed {seed} failed once and passed when it was run again: something besides the seed decides, such "
                "as the real clock, a set of texts, or what an earlier run has left behind"
            )
            raise first
        needed = f"; of its {len(plan.faults)} faults it needs {len(kept)}" if plan.faults else ""
        error.add_note(f"seed {seed} failed, after {seed} of {count} had passed{needed}")
        error.add_note(f"replay: {_replay(self._name, seed, kept if len(kept) < len(plan.faults) else None)}")
        raise error

    def _failure(self, seed: int, plan: Plan) -> BaseException | None:
        try:
            self._play(seed, plan)
        except Exception as error:  # noqa: BLE001  whatever a scenario raises is its failure
            return error
        return None

    def _plan(self, seed: int) -> Plan:
        return NO_FAULTS if self._risks is None else self._risks.draw(random.Random(f"{seed}/faults"))

    def _kept(self, count: int) -> tuple[int, ...]:
        given = os.environ.get("TROUPER_FAULTS")
        if given is None:
            return tuple(range(count))
        kept = tuple(_number("TROUPER_FAULTS", place) for place in given.split(",") if place)
        if any(place >= count for place in kept):
            raise InvalidOption(f"TROUPER_FAULTS={given}: this seed draws {count} faults, numbered from 0")
        return kept


def _same(one: BaseException, other: BaseException | None) -> bool:
    return type(one) is type(other)


def _count(count: int) -> int:
    given = os.environ.get("TROUPER_SEEDS")
    if given is not None:
        return _number("TROUPER_SEEDS", given)
    return count * SOAK_FACTOR if os.environ.get("TROUPER_SOAK") == "1" else count


def _number(name: str, text: str) -> int:
    if not text.strip().isdecimal():
        raise InvalidOption(f"{name}={text!r} must be a number, 0 or more")
    return int(text)


def _name_of(test: Callable[..., object]) -> str:
    code = inspect.unwrap(test).__code__
    return f"{os.path.relpath(code.co_filename)}::{test.__name__}"


def _replay(name: str, seed: int, kept: tuple[int, ...] | None) -> str:
    """Return the command that runs this again, for the shell of this system."""
    running = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    variables = {"TROUPER_SEED": str(seed)}
    if kept is not None:
        variables["TROUPER_FAULTS"] = ",".join(map(str, kept))
    command = f'python -m pytest "{running or name}"'
    if sys.platform == "win32":
        return "".join(f'set "{key}={value}" && ' for key, value in variables.items()) + command
    return "".join(f"{key}={value} " for key, value in variables.items()) + command


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Turn the log off during thousands of runs, in which crashes are usual."""
    levels = {name: logging.getLogger(name).level for name in _LOGS}
    for name in _LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
