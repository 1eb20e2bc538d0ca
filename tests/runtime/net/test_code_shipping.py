"""Code that no module defines, between nodes that take it; the actors here are made by functions, on purpose."""

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.runtime.net.stage import check_books, paired
from tests.runtime.stage import play
from trouper import Actor, InvalidHandler, InvalidOption, Message, Node, WireError, handler
from trouper.runtime.kernel.message import message_class, tag_of
from trouper.runtime.net.code_shipping import CodeShipping, pack, unpack
from trouper.runtime.session.schemas import fingerprint

Make = Callable[[int, list[int]], Message[int]]


def local_actor() -> tuple[Callable[[int], Actor], Make, type[Message[int]]]:
    """An actor and a message that no module defines."""
    extra = 100

    class Hello(Message[int]):
        """Has a default that is made anew."""

        n: int
        more: list[int] = []  # noqa: RUF012  each message gets its own

    class Local(Actor):
        """Refers to what is around it."""

        def __init__(self, start: int) -> None:
            self.sum = start

        @handler
        def hello(self, msg: Hello) -> int:
            self.sum += msg.n + len(msg.more)
            return self.sum + extra

    return Local, Hello, Hello


def play_linked(a: Node, b: Node, scene: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a scene on two connected nodes."""

    async def main() -> None:
        async with a, b:
            await a.network.wait_for_peer("b")
            await scene()

    play(main)
    check_books(a, b)


def test_a_class_inside_a_function_is_spawned_on_another_node() -> None:
    """With its closure, its arguments and its messages; the arguments are checked as ever."""
    a = Node("a", listen="inprocess://a", code_shipping=True)
    b = Node("b", listen="inprocess://b", join=["inprocess://a"], code_shipping=CodeShipping(10_000))
    local, hello, _ = local_actor()

    async def scene() -> None:
        ref = await a.spawn(local, 5, place="b")
        assert await ref.ask(hello(2, [1])) == 108
        with pytest.raises(WireError, match=r"the argument 'start' of .*Local cannot travel: Expected `int`"):
            await a.spawn(local, "five", place="b")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue]  wrong on purpose

    play_linked(a, b, scene)


def test_a_function_inside_a_function_is_spawned_on_another_node() -> None:
    """It is found by no name either."""
    a = Node("a", listen="inprocess://a", code_shipping=True)
    b = Node("b", listen="inprocess://b", join=["inprocess://a"], code_shipping=True)

    class Plus(Message[int]):
        n: int

    def plus(msg: Plus) -> int:
        return msg.n + 1

    async def scene() -> None:
        here = await a.spawn(plus)
        there = await a.spawn(plus, place="b")
        assert [await here.ask(Plus(1)), await there.ask(Plus(2))] == [2, 3]

    play_linked(a, b, scene)


def test_both_nodes_must_opt_in() -> None:
    """One that has not refuses code by name, and loads nothing of it."""
    a = Node("a", listen="inprocess://a", code_shipping=True)
    b = Node("b", listen="inprocess://b", join=["inprocess://a"])
    local, _, _ = local_actor()

    async def scene() -> None:
        with pytest.raises(WireError, match=r"Local came as code, which this node does not take"):
            await a.spawn(local, 5, place="b")

    play_linked(a, b, scene)


@paired
async def test_without_it_the_error_says_how(a: Node, b: Node) -> None:
    """A local class goes nowhere."""
    local, _, _ = local_actor()
    with pytest.raises(InvalidHandler, match=r"top of a module, or let code travel by Node\(code_shipping=True\)"):
        a.spawn(local, 5, place="b")
    assert not b.system.user.children


def test_too_much_code_is_refused_on_both_sides() -> None:
    """Before it is sent, and before it is loaded."""
    local, _, _ = local_actor()
    with pytest.raises(InvalidHandler, match=r"bytes of code, more than shipped_bytes_max=100: put it into a module"):
        pack(local, CodeShipping(100))
    with pytest.raises(WireError, match="more than shipped_bytes_max=100"):
        unpack(pack(local, CodeShipping()), CodeShipping(100))
    with pytest.raises(InvalidOption, match="shipped_bytes_max=0 must be 1 or more"):
        CodeShipping(0)


def test_what_cannot_be_pickled_is_named() -> None:
    """Such as a lock that the code refers to."""
    lock = threading.Lock()

    class Locker(Actor):
        def on_start(self) -> None:
            lock.acquire(blocking=False)

    with pytest.raises(InvalidHandler, match=r"Locker cannot be shipped to another node: .*lock"):
        pack(Locker, CodeShipping())


@pytest.mark.parametrize("data", [b"", b"nonsense", pickle.dumps(1)[:-1]])
def test_what_is_no_code_is_refused(data: bytes) -> None:
    """As any other nonsense from the wire."""
    with pytest.raises(WireError, match="code that came in cannot be loaded"):
        unpack(data, CodeShipping())


def test_a_node_that_lets_anybody_in_takes_no_code() -> None:
    """Authentication is what shipping stands on."""
    with pytest.raises(InvalidOption, match="code_shipping and insecure=True: anybody could run code here"):
        Node("a", listen="tcp://127.0.0.1:0", insecure=True, code_shipping=True)


def test_a_missing_cloudpickle_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the node is made, not when the first class is shipped."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(InvalidOption, match=r"pip install 'trouper\[shipping\]'"):
        Node("a", code_shipping=True)


def test_another_process_makes_the_same_messages(tmp_path: Path) -> None:
    """Its class has the same tag and fingerprint, and one that comes twice is the one that came first."""
    local, _, hello = local_actor()
    (tmp_path / "code").write_bytes(pack(local, CodeShipping()))
    program = f"""
from pathlib import Path
from trouper.runtime.net.code_shipping import CodeShipping, unpack
from trouper.runtime.session.schemas import fingerprint
code = Path({str(tmp_path / "code")!r}).read_bytes()
first, second = unpack(code, CodeShipping()), unpack(code, CodeShipping())
types = [next(type for type in made.__handler_table__.entries if type.__name__ == "Hello") for made in (first, second)]
print(types[0] is types[1], fingerprint(types[0]).hex(), types[0](1).more)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == f"True {fingerprint(hello).hex()} []\n"
    assert message_class(tag_of(hello)) is hello
