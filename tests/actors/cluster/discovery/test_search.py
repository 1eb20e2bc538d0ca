import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trouper.actors.cluster.discovery.port import Discovery, DiscoveryFailed, DiscoveryInvalid, DiscoveryMissing
from trouper.actors.cluster.discovery.search import Search
from trouper.actors.cluster.discovery.seeking import Members, Reached, Unreached
from trouper.actors.cluster.discovery.static import StaticDiscovery
from trouper.testing import settle, virtual_time


class Scripted:
    """A discovery that plays a script: endpoints, an error, or nothing at all for ever."""

    def __init__(self, *answers: Sequence[str] | Exception | None, name: str = "the script") -> None:
        self.answers, self.asked, self.name = list(answers), 0, name

    async def find(self) -> Sequence[str]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer or ()

    def describe(self) -> str:
        return self.name


@dataclass
class Owner:
    """Writes down what the search wants, with the time."""

    log: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])

    def note(self, what: str) -> Callable[[str], None]:
        """A callback that writes down."""
        return lambda text: self.log.append((round(asyncio.get_running_loop().time() - self.began, 3), what, text))

    def search(self, *discoveries: Discovery, dial: Callable[[str], object] | None = None) -> Search:
        """A search that was started, without jitter."""
        self.began = asyncio.get_running_loop().time()
        search = Search(
            discoveries,
            ["tcp://me:1"],
            dial=dial or self.note("dial"),
            hang_up=self.note("hang up"),
            say=lambda level, text: self.note(level)(text),
            chance=lambda: 0.5,
        )
        search.start()
        return search

    def at(self, what: str) -> list[float]:
        """When something was written down."""
        return [time for time, kind, _ in self.log if kind == what]


@virtual_time
async def test_dead_seeds_are_dialled_for_ever_with_backoff() -> None:
    """Each dial is hung up after its time, each round is said, and the pauses grow."""
    owner = Owner()
    search = owner.search(StaticDiscovery(["tcp://a:1"]))
    await asyncio.sleep(60)
    assert owner.at("dial") == [0.0, 6.0, 13.0, 22.0, 35.0, 56.0]
    assert owner.at("hang up") == owner.at("warning") == [5.0, 11.0, 18.0, 27.0, 40.0]
    await search.close()
    assert owner.log[-1] == (60.0, "hang up", "tcp://a:1")
    await asyncio.sleep(1_000)
    assert owner.at("dial")[-1] == 56.0


@virtual_time
async def test_who_is_reached_ends_the_dialling_until_all_are_lost() -> None:
    """With contacts the sources are asked every minute; without, at once."""
    owner, script = Owner(), Scripted(["tcp://a:1"])
    search = owner.search(script)
    await settle()
    search.happened(Reached("tcp://a:1"))
    await asyncio.sleep(130)
    assert (script.asked, owner.at("dial")) == (3, [0.0])
    search.happened(Members(frozenset()))
    await asyncio.sleep(0.6)
    assert owner.at("dial") == [0.0, 130.5]
    search.happened(Unreached("tcp://a:1", "refused"))
    assert owner.log[-1][1] == "warning"
    await search.close()


@virtual_time
async def test_discoveries_that_fail_do_not_end_the_search() -> None:
    """What one of them found in spite of its failure is dialled; a package that is missing is said."""
    owner = Owner()
    search = owner.search(
        Scripted(DiscoveryFailed("line 2 is bad", ["tcp://a:1"]), name="file"),
        Scripted(DiscoveryMissing("pip install it"), name="dns"),
        Scripted(ZeroDivisionError("a fault"), name="mine"),
    )
    await settle()
    assert owner.log == [(0.0, "dial", "tcp://a:1")]
    search.happened(Unreached("tcp://a:1", "refused"))
    assert owner.log[1][2] == (
        "no other node was reached for 0 s: tcp://a:1 (refused); line 2 is bad, dns: DiscoveryMissing: pip install it,"
        " mine: ZeroDivisionError: a fault; asking again in 1.0 s (round 1)"
    )
    await search.close()


@virtual_time
async def test_a_discovery_that_hangs_is_left_and_asked_again() -> None:
    """Its task of the round before is cancelled, and no task is left after the close."""
    owner, script = Owner(), Scripted(None, ["tcp://a:1"], None)
    search = owner.search(script)
    await asyncio.sleep(11.5)
    assert script.asked == 2
    assert owner.at("dial") == [11.0]
    await asyncio.sleep(20)
    assert script.asked == 3
    await search.close()
    await search.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_an_endpoint_that_cannot_be_dialled_is_an_outcome() -> None:
    """The error of the transport is said, and the search goes on."""

    def dial(endpoint: str) -> None:
        raise DiscoveryInvalid(f"no transport knows {endpoint}")

    owner = Owner()
    search = owner.search(StaticDiscovery(["sim://a"]), dial=dial)
    await asyncio.sleep(0.1)
    assert "sim://a (no transport knows sim://a); asking again in 1.0 s" in owner.log[0][2]
    await search.close()
