"""Transports are found by the scheme of an endpoint: those in the box, registered ones, those of entry points."""

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.runtime.net.stage import Add, Clerk, Numbers
from tests.runtime.stage import play
from trouper import InvalidOption, Node
from trouper.lowlevel import (
    MakeTransport,
    NetworkOptions,
    SchemeTable,
    Transport,
    TransportOwner,
    Wire,
    knows_transport,
    register_transport,
    transport_schemes,
)
from trouper.transports.inprocess import InProcessTransport


class Renamed:
    """A transport of a user: that within one loop, under another scheme."""

    def __init__(self, scheme: str, owner: TransportOwner) -> None:
        self.schemes, self._scheme = frozenset({scheme}), scheme
        self._inner: Transport = InProcessTransport(owner)

    async def listen(self, endpoint: str) -> str:
        await self._inner.listen(self._within(endpoint))
        return endpoint

    def connect(self, endpoint: str) -> Wire:
        return self._inner.connect(self._within(endpoint))

    async def close(self) -> None:
        await self._inner.close()

    def _within(self, endpoint: str) -> str:
        return endpoint.replace(f"{self._scheme}://", f"inprocess://{self._scheme}-", 1)


def parrots(options: NetworkOptions) -> MakeTransport:
    """Makes the transport of ``parrot://``."""
    assert options.listen[0].startswith("parrot://")
    return partial(Renamed, "parrot")


def test_nodes_talk_over_a_registered_transport() -> None:
    """Its factory is given the options of the network."""
    register_transport("parrot", parrots)
    assert knows_transport("parrot")
    assert transport_schemes()[:3] == ["tcp", "ipc", "inprocess"]
    assert "parrot" in transport_schemes()
    a, b = Node("a", listen="parrot://a"), Node("b", listen="parrot://b", join=["parrot://a"])

    async def main() -> None:
        async with a, b:
            await b.network.wait_for_peer("a")
            ada = await b.spawn(Clerk, place="a")
            ada.tell(Add(7))
            assert await ada.ask(Numbers()) == [7]
            assert a.network.endpoint == "parrot://a"

    play(main)


@pytest.mark.parametrize(
    ("scheme", "problem"),
    [
        ("", "'' is no scheme: expected a small letter, then small letters, digits"),
        ("TCP", "'TCP' is no scheme"),
        ("a://", "'a://' is no scheme"),
        ("a" * 33, "is no scheme"),
        ("tcp", "tcp:// belongs to trouper.runtime.node.transports._zeromq already: register"),
    ],
)
def test_what_cannot_be_registered_is_refused(scheme: str, problem: str) -> None:
    """A scheme in the box cannot be taken, nor can a text that is no scheme."""
    with pytest.raises(InvalidOption) as caught:
        register_transport(scheme, parrots)
    assert problem in str(caught.value)


def test_a_factory_can_be_called() -> None:
    """The error names the scheme."""
    with pytest.raises(InvalidOption, match=r"^the transport of five:// is 5, which cannot be called$"):
        register_transport("five", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  wrong on purpose


def test_a_simulated_endpoint_outside_of_a_simulation_is_refused() -> None:
    """The error says where such endpoints are for."""

    async def main() -> None:
        with pytest.raises(InvalidOption, match=r"sim:// is for simulated nodes: start them with trouper\.testing"):
            await Node("a", listen="sim://a").__aenter__()

    play(main)


MODULE = """
from functools import partial
from tests.runtime.node.test_transports import Renamed

def finches(options):
    return partial(Renamed, "finch")
"""


def install(folder: Path, name: str, points: dict[str, str], group: str = "trouper.transports") -> None:
    """Put a package with entry points into a folder, as an installer does."""
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{scheme} = {value}\n" for scheme, value in points.items())
    (facts / "entry_points.txt").write_text(f"[{group}]\n{lines}")


def test_an_entry_point_registers_a_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded by the first endpoint of its scheme, and not by asking for it."""
    (tmp_path / "finches_of_a_package.py").write_text(MODULE)
    install(tmp_path, "birds", {"finch": "finches_of_a_package:finches", "tcp": "finches_of_a_package:finches"})
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    assert knows_transport("finch")
    assert "finches_of_a_package" not in sys.modules
    a, b = Node("a", listen="finch://a"), Node("b", listen="finch://b", join=["finch://a"])

    async def main() -> None:
        async with a, b:
            await b.network.wait_for_peer("a")

    play(main)


def test_an_entry_point_that_cannot_be_used_is_an_error_that_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that does not exist, an object that cannot be called, and two packages with one scheme."""
    table: SchemeTable[object] = SchemeTable("bird", "tests.birds", {})
    assert table.find("owl") is None
    install(tmp_path, "owls", {"owl": "no_such_module:owl", "emu": "sys:maxsize", "kiwi": "os:getcwd"}, "tests.birds")
    install(tmp_path, "kiwis", {"kiwi": "os:getpid"}, "tests.birds")
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    assert table.schemes() == ["emu", "kiwi", "owl"]
    with pytest.raises(InvalidOption, match=r"the bird of owl://, no_such_module:owl of owls, cannot be loaded: Mod"):
        table.find("owl")
    with pytest.raises(InvalidOption, match=r"^the bird of emu:// is \d+, which cannot be called$"):
        table.find("emu")
    with pytest.raises(InvalidOption, match=r"^kiwi:// is claimed by several packages \(os:getcwd of owls, os:getpid"):
        table.find("kiwi")
