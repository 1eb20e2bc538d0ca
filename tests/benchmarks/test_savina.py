"""The Savina programs, each at a tiny size."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, cast

import pytest

import trouper
from benchmarks import savina
from trouper import Node

SIZES = {"a_star": 4, "n_queens": 5}  # of the others, 7 of whatever they count
SUPPORT = {"__init__", "__main__", "conductor"}


class Program(Protocol):
    """What every module of benchmarks.savina has."""

    SIZE: int
    run: Callable[[Node, int], Awaitable[object]]
    check: Callable[[int, object], None]


def _program(name: str) -> Program:
    return cast("Program", importlib.import_module(f"benchmarks.savina.{name}"))


@pytest.mark.parametrize("name", savina.PROGRAMS)
def test_program_gives_the_right_answer(name: str) -> None:
    """Each program's own check accepts what it computes, and no message is unaccounted for."""
    program, size = _program(name), SIZES.get(name, 7)

    async def perform() -> object:
        async with Node() as node:
            result = await program.run(node, size)
            assert node.accounting().missing == 0
            return result

    program.check(size, trouper.run(perform))


@pytest.mark.parametrize("name", savina.PROGRAMS)
def test_check_refuses_a_wrong_answer(name: str) -> None:
    """No program's check accepts just anything."""
    program, size = _program(name), SIZES.get(name, 7)
    wrong: dict[str, object] = {
        "concurrent_sorted_list": ([2, 1], [2, 1]),
        "dining_philosophers": ([], 0),
        "bank_transaction": [0],
    }
    with pytest.raises(AssertionError):
        program.check(size, wrong.get(name, -1.5))


def test_every_program_is_listed() -> None:
    """The list of programs is what lies in the folder."""
    files = {path.stem for path in Path(savina.__file__).parent.glob("*.py")}
    assert files - SUPPORT == set(savina.PROGRAMS)
