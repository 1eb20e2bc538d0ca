"""The Savina actor benchmarks, in small sizes, each checked for the right answer and each an example of the style.

After Imam and Sarkar, "Savina - An Actor Benchmark Suite", AGERE 2014; the programs are written anew for Trouper.
Every module has ``SIZE`` (how much it does when it is timed), ``run(node, size)`` and ``check(size, result)``, which
raises ``AssertionError`` when the answer is wrong.  Whatever is random comes from a generator with a fixed seed.
"""

from __future__ import annotations

from typing import TypeVar

from trouper import ActorRef, Message

PROGRAMS = (
    "ping_pong",
    "counting",
    "fork_join_create",
    "fork_join_throughput",
    "thread_ring",
    "chameneos",
    "big",
    "concurrent_dictionary",
    "concurrent_sorted_list",
    "dining_philosophers",
    "sleeping_barber",
    "cigarette_smokers",
    "bank_transaction",
    "a_star",
    "n_queens",
    "trapezoid",
)
PATIENCE_S = 120.0  # for the one long ask of each program, whose answer comes when the program has ended

R = TypeVar("R")


async def outcome(ref: ActorRef, question: Message[R]) -> R:
    """Ask for the outcome of a whole program, and wait for it longer than the usual five seconds."""
    return await ref.ask(question, timeout_s=PATIENCE_S)
