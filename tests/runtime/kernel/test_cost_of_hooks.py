"""Headers, instruments, admission hooks and executors cost nothing while nobody uses them, counted in bytecodes."""

import dis
import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from tests.runtime.stage import Double, Note, Player, staged
from trouper import ActorRef, Node
from trouper.runtime.kernel import invocation, signals
from trouper.runtime.kernel.cell import Cell
from trouper.runtime.kernel.dispatcher import Dispatcher
from trouper.runtime.kernel.headers import declare_header
from trouper.runtime.kernel.hooks import set_admission
from trouper.runtime.net.peer import Peer
from trouper.runtime.net.remote_cell import RemoteCell
from trouper.runtime.observe.instruments import Instrument

if TYPE_CHECKING:
    from _typeshed import TraceFunction

TRACE = declare_header("test-trace", follows=True)
FENCE = declare_header("test-fence", follows=False)

HOOK_NAMES = {
    "hooks", "outgoing", "headers", "at_work", "follows", "pass_on", "instruments", "admission", "executor", "off_loop",
}  # fmt: skip
FAST_PATH: list[Callable[..., object]] = [
    ActorRef.tell,
    ActorRef.ask,
    Dispatcher.turn,
    Dispatcher._run,  # noqa: SLF001  the fast path is private
    Dispatcher.schedule,
    Dispatcher.arm,
    Dispatcher.renew_inline_budget,
    invocation.answer_inline,
    invocation.check_reply,
    signals.reschedule,
    Cell.accept,
]


@pytest.mark.parametrize("function", FAST_PATH, ids=lambda function: function.__qualname__)
def test_the_fast_path_has_no_instruction_for_hooks(function: Callable[..., object]) -> None:
    """Not a test, not a load: no name of a hook stands in its bytecode."""
    names = {str(each.argval) for each in dis.get_instructions(function)}
    assert not names & HOOK_NAMES


def executed(function: Callable[[], object]) -> int:
    """Run a function; returns how many bytecodes of the runtime were executed."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> "TraceFunction | None":
        nonlocal count
        if "/trouper/runtime/" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def bytecodes_of(node: Node, ref: ActorRef) -> tuple[int, int]:
    """Return the bytecodes of ten tells with the turn that handles them, and of an ask."""
    dispatcher = node.system.dispatcher

    def tells() -> None:
        for n in range(10):
            ref.tell(Note(n))
        dispatcher.context.run(dispatcher.turn)

    def ask() -> None:
        assert ref.ask(Double(2)).result() == 4

    told = executed(tells)
    dispatcher.reset_inline_budget()  # else the count depends on how many asks there were before
    return told, executed(ask)


@staged
async def test_a_node_that_used_hooks_and_does_not_any_more_pays_nothing(node: Node) -> None:
    """Bytecodes for bytecodes the same as before the first one; with an instrument they are more."""
    ref = await node.spawn(Player)
    bytecodes_of(node, ref)  # the first time makes queues and looks subclasses up
    before = bytecodes_of(node, ref)
    assert before == bytecodes_of(node, ref), "the count must not vary by itself"
    instrument = Instrument()
    node.instruments.add(instrument)
    set_admission(ref, lambda _actor, _message, _headers: None, reasons=("closed",))
    dispatcher = node.system.dispatcher

    def tells() -> None:
        for n in range(10):
            ref.tell(Note(n))
        dispatcher.context.run(dispatcher.turn)

    assert executed(tells) > before[0]
    node.instruments.remove(instrument)
    set_admission(ref, None)
    assert bytecodes_of(node, ref) == before


@staged
async def test_headers_that_do_not_follow_cost_other_messages_nothing(node: Node) -> None:
    """A fence on some messages leaves all others on the fast path."""
    ref = await node.spawn(Player)
    bytecodes_of(node, ref)
    before = bytecodes_of(node, ref)
    await ref.with_headers({FENCE: b"1"}).tell(Note(1))
    assert await ref.with_headers({FENCE: b"1"}).ask(Double(1)) == 2
    assert bytecodes_of(node, ref) == before
    assert not node.system.outgoing.at_work


def test_a_tell_to_another_node_has_no_instruction_for_hooks_before_it_is_queued() -> None:
    """``push`` takes its short branch by the table of known types, which is empty while hooks are at work."""
    names = [str(each.argval) for each in dis.get_instructions(Peer.push)]
    short_branch = names[: names.index("outgoing")]
    assert "put" in short_branch, "the short branch comes first, and ends with the item in the send buffer"
    assert not set(short_branch) & HOOK_NAMES
    wake = [str(each.argval) for each in dis.get_instructions(RemoteCell.wake)]
    assert wake.index("lose") > wake.index("outgoing") > wake.index("count_gone"), "only where the message is lost"
