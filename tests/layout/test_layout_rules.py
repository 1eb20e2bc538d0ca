"""Every rule of the house can fail: each is shown something bad, which it reports, and something good."""

from collections.abc import Callable

import pytest

from tests.layout import arrows, style
from tests.layout.sources import Source

Rule = Callable[[Source], list[str]]
KERNEL = "src/trouper/runtime/kernel/cell.py"
CONSOLE = "src/trouper/actors/console/actor.py"


def _pure(source: Source) -> list[str]:
    return arrows.purity(source, must_be_pure=["src/trouper/runtime/kernel/supervision.py"])


def _no_sleep(source: Source) -> list[str]:
    return style.no_sleep(source, {"tests/test_wall.py": "it measures the wall clock"})


BAD: list[tuple[Rule, str, str, str]] = [
    (arrows.relative_imports_only, KERNEL, "from trouper.runtime import x", "write the import of trouper.runtime"),
    (arrows.relative_imports_only, KERNEL, "def f():\n    import trouper.wire", "write the import of trouper.wire"),
    (arrows.arrows, KERNEL, "from ..wire import codec", "may not import trouper.runtime.session.codec"),
    (arrows.arrows, KERNEL, "from ... import actors", "may not import trouper.actors"),
    (
        arrows.arrows,
        "src/trouper/runtime/kernel/__init__.py",
        "from ..node import Node",
        "trouper.runtime.node.node.Node",
    ),
    (
        arrows.arrows,
        "src/trouper/runtime/session/codec.py",
        "from ..node import Node",
        "may not import trouper.runtime.node.node",
    ),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.node import Node", "may not import"),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.kernel.cell import Cell", "may not import"),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..actors.cluster import messages", "may not import"),
    (arrows.arrows, CONSOLE, "from ...transports.zeromq import sockets", "may not import trouper.transports.zeromq"),
    (arrows.arrows, CONSOLE, "from ..cluster.actor import Cluster", "may not import trouper.actors.cluster.actor"),
    (arrows.outside_packages, KERNEL, "import aiohttp.web", "trouper.runtime.kernel.cell may not import aiohttp"),
    (arrows.outside_packages, KERNEL, "from typing_extensions import TypeVar", "guard the import"),
    (arrows.leaves_stay_leaves, KERNEL, "from ... import testing", "nothing may import trouper.testing"),
    (arrows.leaves_stay_leaves, "src/trouper/testing/probe.py", "from ..cli import main", "may import trouper.cli"),
    (_pure, KERNEL, '"""Decides (PURE)."""\nimport time', "a pure file may not import time"),
    (_pure, KERNEL, '"""Decides (PURE)"""\ndef f():\n    from os import environ', "a pure file may not import os"),
    (_pure, KERNEL, '"""Decides (PURE)"""\nopen("x")', "a pure file may not call open"),
    (_pure, "src/trouper/runtime/kernel/supervision.py", '"""Decides."""', "has to end with '(PURE)'"),
    (style.file_sizes, KERNEL, "x = 1\n" * 401, "401 lines, more than 400"),
    (style.function_sizes, KERNEL, "def f():\n" + "    x = 1\n" * 60, "f has 61 lines, more than 60"),
    (style.function_sizes, KERNEL, "class C:\n  async def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (style.no_vague_names, "src/trouper/runtime/utils.py", "", "'utils' is a drawer"),
    (style.no_vague_names, "tests/helpers/clock.py", "", "'helpers' is a drawer"),
    (style.no_vague_names, "tests/test_misc.py", "", "'misc' is a drawer"),
    (style.ignores_have_reasons, KERNEL, "x = f()  # type: " + "ignore", "name the rule"),
    (style.ignores_have_reasons, KERNEL, "x = f()  # no" + "qa", "name the rule"),
    (
        style.ignores_have_reasons,
        KERNEL,
        "x = f()  # type: ignore[misc]  # pyright: " + "ignore  why not",
        "name the rule",
    ),
    (style.ignores_have_reasons, KERNEL, "x = f()  # type: ignore[misc]", "say why"),
    (style.ignores_have_reasons, KERNEL, "x = f()  # no" + "qa: BLE001, S110", "say why"),
    (style.ignores_have_reasons, KERNEL, "x = f()  # pyright: ignore[reportAny]  sorry", "say why"),
    (style.ignores_have_reasons, KERNEL, "# ruff: no" + "qa", "no tool is switched off"),
    (style.ignores_have_reasons, KERNEL, "# mypy: ignore-errors", "no tool is switched off"),
    (style.ignores_have_reasons, KERNEL, "# pyright: basic", "no tool is switched off"),
    (style.ignores_have_reasons, KERNEL, "# fmt: off", "no tool is switched off"),
    (style.any_has_a_reason, KERNEL, "def f(x: list[Any]) -> None: ...", "say why this is Any"),
    (style.any_has_a_reason, KERNEL, "x: typing.Any = 1", "say why this is Any"),
    (_no_sleep, "tests/test_x.py", "import time\ntime.sleep(1)", "time.sleep in a test"),
    (_no_sleep, "tests/test_x.py", "from time import sleep", "sleep imported from time"),
    (style.tests_say_what_they_expect, "tests/test_x.py", "def test_x():\n    assert 1", "test_x needs a docstring"),
    (style.tests_say_what_they_expect, "tests/test_x.py", "class TestX:\n    async def test_y(self): ...", "test_y"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "def f(): ...", "the facade only re-exports"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "from .runtime import *", "the facade only re-exports"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "import os", "the facade only re-exports"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (arrows.relative_imports_only, KERNEL, "from .errors import X\nimport troupers"),
    (arrows.arrows, KERNEL, "from .errors import X\nfrom . import ref\nimport asyncio"),
    (arrows.arrows, "src/trouper/runtime/node/node.py", "from .routers import Pool\nfrom .kernel.system import System"),
    (arrows.arrows, "src/trouper/runtime/__init__.py", "from .node import Node"),
    (arrows.arrows, "src/trouper/runtime/actor/timers.py", "from .kernel.ref import ActorRef\nfrom .wire import codec"),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.wire.framing import split\nimport zmq"),
    (arrows.arrows, CONSOLE, "from ...runtime import Actor\nfrom ..cluster.messages import Joined\nfrom . import page"),
    (arrows.arrows, "src/trouper/cli/demo.py", "from ..runtime.node import Node"),
    (arrows.outside_packages, KERNEL, "import msgspec\nimport asyncio\nfrom __future__ import annotations"),
    (arrows.outside_packages, KERNEL, "if TYPE_CHECKING:\n    from typing_extensions import TypeVar"),
    (arrows.leaves_stay_leaves, "src/trouper/__main__.py", "from .cli import main"),
    (arrows.leaves_stay_leaves, "src/trouper/cli/__init__.py", "from . import demo"),
    (_pure, KERNEL, '"""Decides (PURE)."""\nimport heapq\nfrom .errors import X'),
    (_pure, KERNEL, '"""Does things."""\nimport time'),
    (style.file_sizes, KERNEL, "x = 1\n" * 400),
    (style.function_sizes, KERNEL, "def f():\n" + "    x = 1\n" * 59),
    (style.no_vague_names, "src/trouper/runtime/commons.py", ""),
    (style.ignores_have_reasons, KERNEL, "x = f()  # type: ignore[misc]  the stubs are wrong here"),
    (style.ignores_have_reasons, KERNEL, "x = 'no" + "qa'  # nothing is ignored"),
    (
        style.ignores_have_reasons,
        KERNEL,
        "x = 1  # type: ignore[a]  # pyright: ignore[b]  # no" + "qa: S1  any of three",
    ),
    (style.any_has_a_reason, KERNEL, "x: Any = 1  # the user's own value\nfrom typing import Any"),
    (_no_sleep, "tests/test_wall.py", "import time\ntime.sleep(1)"),
    (_no_sleep, "tests/test_x.py", "import asyncio\nasyncio.sleep(1)"),
    (style.tests_say_what_they_expect, "tests/test_x.py", 'def test_x():\n    """It is so."""\n\ndef other(): ...'),
    (style.facade_is_reexports, "src/trouper/__init__.py", '"""T."""\nfrom .runtime import A as A\n__all__ = ["A"]'),
]


@pytest.mark.parametrize(("rule", "path", "text", "expected"), BAD)
def test_a_rule_reports_what_breaks_it(rule: Rule, path: str, text: str, expected: str) -> None:
    """A rule that is shown something bad says so, once, and says where."""
    problems = rule(Source(path, text))
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}:")
    assert expected in problems[0]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_lets_be_what_is_good(rule: Rule, path: str, text: str) -> None:
    """A rule that is shown something good has nothing to say."""
    assert rule(Source(path, text)) == []


def test_the_kernel_is_counted_as_a_whole() -> None:
    """Two files that are small enough each may be too much together."""
    half = "x = 1\n" * 901
    assert style.kernel_size([Source("a.py", half), Source("b.py", half)]) == [
        "the kernel has 1802 lines of code, more than 1800"
    ]
    assert style.kernel_size([Source("a.py", half)]) == []


def test_a_ring_of_imports_is_named_and_late_imports_make_none() -> None:
    """Two modules that import each other are reported with the way round; a late import is no part of it."""
    ahead = Source("src/trouper/runtime/ahead.py", "from . import back")
    back = Source("src/trouper/runtime/back.py", "from .ahead import X")
    guarded = Source("src/trouper/runtime/back.py", "if TYPE_CHECKING:\n    from .ahead import X")
    inside = Source("src/trouper/runtime/back.py", "def f():\n    from .ahead import X")
    assert [p.count("->") for p in arrows.no_cycles([ahead, back])] == [2]
    assert arrows.no_cycles([ahead, guarded]) == []
    assert arrows.no_cycles([ahead, inside]) == []


def test_a_module_without_tests_and_an_idle_exception_are_reported() -> None:
    """A missing test file is named; so is an exception for a file that has tests, or that is not there."""
    cell, timers = Source(KERNEL, ""), Source("src/trouper/runtime/actor/timers.py", "")
    tests = [Source("tests/runtime/kernel/test_cell_order.py", ""), Source("tests/test_timers.py", "")]
    assert style.tests_mirror_packages([cell, timers], tests, {}) == [
        "src/trouper/runtime/actor/timers.py: no test file tests/runtime/actor/test_timers.py"
    ]
    assert style.tests_mirror_packages([timers], tests, {timers.path: "shown by the examples"}) == []
    assert style.tests_mirror_packages([cell], tests, {KERNEL: "no", "src/trouper/gone.py": "no"}) == [
        f"{KERNEL}: has a test file, so it needs no exception",
        "src/trouper/gone.py: there is no such file to except",
    ]
