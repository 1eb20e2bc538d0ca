"""Extensions that run on worker processes too, with the settings that the node was given."""

from __future__ import annotations

import msgspec
import pytest

from tests.runtime.workers.stage import QUICK, run
from trouper import InvalidOption, Message, Node, Unhandled
from trouper.lowlevel import AnyExtension, Extension, NodeContext
from trouper.runtime.node.extension_manager import extension_of_parent


class Colour(msgspec.Struct):
    """name: what a node answers."""

    name: str = "grey"


class GetColour(Message[str]):
    """The reply is the colour of the node."""


class GetShade(Message[str]):
    """The same, of the extension that workers do not have."""


class Coloured(Extension[Colour], name="coloured", on_workers=True):
    """Answers with its setting."""

    async def start(self, ctx: NodeContext) -> None:
        ctx.serve(GetColour, lambda msg, peer: self.settings.name)


class Shaded(Extension[Colour], name="shaded"):
    """Runs on the node alone."""

    async def start(self, ctx: NodeContext) -> None:
        ctx.serve(GetShade, lambda msg, peer: self.settings.name)


def test_a_worker_runs_the_extensions_that_say_so_with_the_node_s_settings() -> None:
    """And none of the others."""

    async def scene() -> None:
        extensions: list[AnyExtension] = [Coloured(Colour("blue")), Shaded()]
        async with Node("paint", workers=msgspec.structs.replace(QUICK, count=1), extensions=extensions) as node:
            ctx = node[Coloured].context
            worker = next(iter(ctx.peers))
            assert await ctx.ask(worker.node_id, GetColour()) == "blue"
            with pytest.raises(Unhandled):
                await ctx.ask(worker.node_id, GetShade())

    run(scene())


def test_a_class_that_a_worker_cannot_find_is_an_error() -> None:
    """One inside a function, and a name that means something else."""
    names = ["tests.runtime.workers.stage:run", f"{__name__}:test.<locals>.Hidden"]
    for name in names:
        with pytest.raises(InvalidOption, match="define its class at the top of a module"):
            extension_of_parent(name, b"")
