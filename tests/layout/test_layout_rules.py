"""Every layout rule can fail: each is shown something bad, which it reports, and something good."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.layout import arrows, ratchet, style, words
from tests.layout.sources import Source

Rule = Callable[[Source], list[str]]
KERNEL = "src/trouper/runtime/kernel/cell.py"
CONSOLE = "src/trouper/actors/console/actor.py"


def _pure(source: Source) -> list[str]:
    return arrows.purity(source, must_be_pure=["src/trouper/runtime/kernel/supervision.py"])


def _no_sleep(source: Source) -> list[str]:
    return style.no_sleep(source, {"tests/test_wall.py": "it measures the wall clock"})


def _decoding(source: Source) -> list[str]:
    return style.untrusted_bytes_are_decoded_by_one_function(source, {KERNEL: "it is trusted here"})


def _words(source: Source) -> list[str]:
    return [str(use) for use in words.in_code(source)]


BAD: list[tuple[Rule, str, str, str]] = [
    (arrows.relative_imports_only, KERNEL, "from trouper.runtime import x", "write the import of trouper.runtime"),
    (arrows.relative_imports_only, KERNEL, "def f():\n    import trouper.wire", "write the import of trouper.wire"),
    (arrows.arrows, KERNEL, "from ..session import codec", "may not import trouper.runtime.session.codec"),
    (arrows.arrows, KERNEL, "from ... import actors", "may not import trouper.actors"),
    (arrows.arrows, "src/trouper/runtime/kernel/__init__.py", "from ..node import Node", "trouper.runtime.node.Node"),
    (
        arrows.arrows,
        "src/trouper/runtime/actor/timers.py",
        "if TYPE_CHECKING:\n    from ..net.peer import P",
        "trouper.runtime.net.peer.P",
    ),
    (
        arrows.arrows,
        "src/trouper/runtime/observe/events.py",
        "def f():\n    from ..actor.actor import A",
        "trouper.runtime.actor.actor.A",
    ),
    (arrows.arrows, CONSOLE, "from ...runtime.kernel.ref import ActorRef", "may not import trouper.runtime.kernel.ref"),
    (
        arrows.arrows,
        "src/trouper/runtime/session/codec.py",
        "from ..node.node import Node",
        "may not import trouper.runtime.node",
    ),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.node.node import Node", "may not import"),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.kernel.cell import Cell", "may not import"),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..actors.cluster import messages", "may not import"),
    (arrows.arrows, CONSOLE, "from ...transports.zeromq import sockets", "may not import trouper.transports.zeromq"),
    (arrows.arrows, CONSOLE, "from ..cluster.actor import Cluster", "may not import trouper.actors.cluster.actor"),
    (_decoding, CONSOLE, "value = decoder.decode(body)", "use decode_untrusted"),
    (_decoding, CONSOLE, "page = json.loads(body)", "use decode_untrusted"),
    (_decoding, CONSOLE, "try:\n    f()\nexcept msgspec.DecodeError:\n    pass", "not all that a decoder raises"),
    (arrows.outside_packages, KERNEL, "import aiohttp.web", "trouper.runtime.kernel.cell may not import aiohttp"),
    (arrows.leaves_stay_leaves, KERNEL, "from ... import testing", "nothing may import trouper.testing"),
    (arrows.leaves_stay_leaves, "src/trouper/testing/probe.py", "from ..cli import main", "may import trouper.cli"),
    (_pure, KERNEL, '"""Decides (PURE)."""\nimport time', "a pure file may not import time"),
    (_pure, KERNEL, '"""Decides (PURE)"""\ndef f():\n    from os import environ', "a pure file may not import os"),
    (_pure, KERNEL, '"""Decides (PURE)"""\nopen("x")', "a pure file may not call open"),
    (_pure, "src/trouper/runtime/kernel/supervision.py", '"""Decides."""', "has to end with '(PURE)'"),
    (style.file_sizes, KERNEL, "x = 1\n" * 801, "801 lines, more than 800"),
    (style.function_sizes, KERNEL, "def f():\n" + "    x = 1\n" * 60, "f has 61 lines, more than 60"),
    (style.function_sizes, KERNEL, "class C:\n  async def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (style.no_vague_names, "src/trouper/runtime/utils.py", "", "'utils' says nothing"),
    (style.no_vague_names, "tests/helpers/clock.py", "", "'helpers' says nothing"),
    (style.no_vague_names, "tests/test_misc.py", "", "'misc' says nothing"),
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
    (_words, "src/trouper/runtime/net/outbox.py", "", "'outbox' in 'outbox'"),
    (_words, KERNEL, "class Doorkeeper: ...", "'doorkeeper' in 'Doorkeeper'"),
    (_words, KERNEL, "def lend_arenas(): ...", "'arenas' in 'lend_arenas'"),
    (_words, KERNEL, "def f(hang_up): ...", "'hang_up'"),
    (_words, KERNEL, "self.attention = 1", "'attention'"),
    (_words, KERNEL, "class Room: ...", "'room' in 'Room'"),
    (_words, KERNEL, "# the furniture of a node", "'furniture'"),
    (_words, KERNEL, '"""Text.\n\nThe outbox."""', "cell.py:3"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "def f(): ...", "the facade only re-exports"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "from .runtime import *", "the facade only re-exports"),
    (style.facade_is_reexports, "src/trouper/__init__.py", "import os", "the facade only re-exports"),
]

GOOD: list[tuple[Rule, str, str]] = [
    (arrows.relative_imports_only, KERNEL, "from .errors import X\nimport troupers"),
    (arrows.arrows, KERNEL, "from .errors import X\nfrom . import ref\nimport asyncio"),
    (
        arrows.arrows,
        "src/trouper/runtime/node/node.py",
        "from ..actor.routers import Pool\nfrom ..kernel.system import System",
    ),
    (
        arrows.arrows,
        "src/trouper/runtime/actor/timers.py",
        "from ..kernel.ref import ActorRef\nfrom .stash import Stash",
    ),
    (arrows.arrows, "src/trouper/transports/zeromq.py", "from ..runtime.session.transport import Way\nimport zmq"),
    (arrows.arrows, CONSOLE, "from ... import Actor\nfrom ...lowlevel import X\nfrom . import page"),
    (arrows.arrows, "src/trouper/cli/demo.py", "from ..runtime.node.node import Node"),
    (arrows.arrows, "src/trouper/lowlevel.py", "from .runtime.kernel.cell import Cell"),
    (arrows.outside_packages, KERNEL, "import msgspec\nimport typing_extensions\nfrom __future__ import annotations"),
    (arrows.outside_packages, "src/trouper/runtime/session/codec.py", "import msgpack"),
    (arrows.leaves_stay_leaves, "src/trouper/__main__.py", "from .cli import main"),
    (arrows.leaves_stay_leaves, "src/trouper/cli/__init__.py", "from . import demo"),
    (_pure, KERNEL, '"""Decides (PURE)."""\nimport heapq\nfrom .errors import X'),
    (_pure, KERNEL, '"""Does things."""\nimport time'),
    (style.file_sizes, KERNEL, "x = 1\n" * 800),
    (style.file_sizes, KERNEL, '"""X.\n\nIt is long because\nit has one table."""\n' + "x = 1\n" * 800),
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
    (_words, KERNEL, "def way(life): ...  # the life of a node, in the room beside the door"),
    (style.facade_is_reexports, "src/trouper/__init__.py", '"""T."""\nfrom .runtime import A as A\n__all__ = ["A"]'),
]


@pytest.mark.parametrize(("rule", "path", "text", "expected"), BAD)
def test_a_rule_reports_what_breaks_it(rule: Rule, path: str, text: str, expected: str) -> None:
    """A rule that is shown something bad reports it once, with its place."""
    problems = rule(Source(path, text))
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}:")
    assert expected in problems[0]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_accepts_what_is_good(rule: Rule, path: str, text: str) -> None:
    """A rule that is shown something good reports nothing."""
    assert rule(Source(path, text)) == []


AHEAD = Source("src/trouper/runtime/kernel/ahead.py", "from ..actor import back")


@pytest.mark.parametrize(
    "text",
    [
        "from ..kernel.ahead import X",
        "if TYPE_CHECKING:\n    from ..kernel import ahead",
        "def f():\n    from ..kernel import ahead",
    ],
)
def test_a_ring_of_packages_is_found_through_type_only_and_late_imports(text: str) -> None:
    """Two packages that import each other are reported, however late the imports come; a listed pair is left out."""
    sources = [AHEAD, Source("src/trouper/runtime/actor/back.py", text)]
    assert [problem.count("->") for problem in arrows.package_rings(sources)] == [2]
    assert arrows.package_rings(sources, ["trouper.runtime.kernel -> trouper.runtime.actor"]) == []


def test_a_ring_of_modules_is_found_at_load_time() -> None:
    """Two modules that load each other are reported; a late or type-only import inside a package makes no ring."""
    ahead = Source("src/trouper/runtime/kernel/ahead.py", "from . import back")
    back, path = (
        Source("src/trouper/runtime/kernel/back.py", "from .ahead import X"),
        "src/trouper/runtime/kernel/back.py",
    )
    assert [problem.count("->") for problem in arrows.no_cycles([ahead, back])] == [2]
    assert arrows.no_cycles([ahead, Source(path, "if TYPE_CHECKING:\n    from .ahead import X")]) == []
    assert arrows.no_cycles([ahead, Source(path, "def f():\n    from .ahead import X")]) == []


def test_a_ring_in_the_table_of_arrows_is_found() -> None:
    """A table by which two packages may import each other is reported."""
    table = [arrows.Arrow("trouper.a", ("trouper.b",)), arrows.Arrow("trouper.b", ("trouper.a.part",))]
    assert [problem.count("->") for problem in arrows.table_is_acyclic(table)] == [2]
    assert arrows.table_is_acyclic(table[:1]) == []


def test_a_package_without_tests_and_tests_without_a_package_are_reported() -> None:
    """A package needs a folder of tests, or one below it; a folder of tests needs its package, or a reason."""
    sources = [Source(KERNEL, ""), Source("src/trouper/runtime/net/peer.py", "")]
    tests = [Source("tests/runtime/kernel/test_order.py", ""), Source("tests/runtime/remote/test_peer.py", "")]
    assert style.tests_mirror_packages(sources, tests, {}) == [
        "src/trouper/runtime/net: no tests in tests/runtime/net",
        "tests/runtime/remote: there is no package src/trouper/runtime/remote",
    ]
    assert style.tests_mirror_packages(sources, tests, {"runtime/net": "why", "runtime/remote": "why"}) == []


def test_public_classes_of_one_name_are_found() -> None:
    """A public class name that two files define is reported with both places; private and inner classes are not."""
    one, two = (
        Source("src/trouper/a.py", "class Link: ...\nclass _P: ..."),
        Source("src/trouper/b.py", "class Link: ..."),
    )
    inner = Source("src/trouper/c.py", "class _P: ...\nclass A:\n    class Link: ...")
    assert words.doubled_classes([one, two, inner]) == {"Link": ["src/trouper/a.py:1", "src/trouper/b.py:1"]}
    assert words.doubled_classes([one, inner]) == {}


@pytest.mark.parametrize(
    ("stems", "found"),
    [
        (("names", "naming"), 1),
        (("ring", "rings"), 0),
        (("resolver", "resolving"), 1),
        (("run", "running"), 1),
        (("placing", "place"), 1),
        (("names", "names_api"), 0),
        (("timing", "timers_api"), 0),
    ],
)
def test_modules_that_only_an_ending_tells_apart_are_found(stems: tuple[str, ...], found: int) -> None:
    """`x.py` beside `xing.py` in one folder is reported; a pair named by role is not."""
    sources = [Source(f"src/trouper/actors/cluster/{stem}.py", "") for stem in stems]
    assert len(words.paired_modules(sources)) == found


def test_banned_words_are_found_in_documents() -> None:
    """A document is searched for the words that are banned in prose, and each use has its line and the better term."""
    assert [str(use) for use in words.in_text("docs/a.md", "# A\n\nThe parcels of whoever asks.")] == [
        "docs/a.md:3: 'parcels' in 'The parcels of whoever asks.'; write out-of-band buffers",
        "docs/a.md:3: 'whoever' in 'The parcels of whoever asks.'; write the subject: the node, the caller",
    ]
    assert words.in_text("docs/a.md", "The life of a message in the room next door, beside `names`.") == []


def test_a_count_may_shrink_and_not_grow(tmp_path: Path) -> None:
    """A violation that is not listed, or occurs more often than listed, is reported; the list is written smaller."""
    listed = {"rule": {"a -> b": 2, "gone": 1}}
    assert ratchet.excess({"a -> b": ["x", "y"]}, listed["rule"]) == []
    assert ratchet.excess({"a -> b": ["x", "y", "z"]}, listed["rule"])[0] == "a -> b: 3 times, and 2 are known:"
    assert ratchet.excess({"c": ["x"]}, listed["rule"]) == ["c: 1 times, and 0 are known:", "    x"]
    assert ratchet.shrunk({"rule": {"a -> b": ["x"], "c": ["x"]}}, listed) == {"rule": {"a -> b": 1}}
    ratchet.write(listed, tmp_path / "known.json")
    assert ratchet.known(tmp_path / "known.json") == listed == json.loads((tmp_path / "known.json").read_text("utf-8"))
