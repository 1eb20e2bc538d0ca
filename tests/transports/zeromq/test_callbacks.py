import asyncio
from typing import Any

from tests.transports.zeromq.scenes import play
from trouper.transports.zeromq.callbacks import call_owner


def test_a_callback_that_fails_goes_to_the_loops_handler() -> None:
    """It is named with its error; one that ends the program is not held up."""

    async def scene() -> None:
        problems: list[dict[str, Any]] = []  # Any: as the loop defines it
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        calls: list[tuple[int, str]] = []

        def take(number: int, word: str) -> None:
            calls.append((number, word))
            raise LookupError(word)

        call_owner(loop, take, 1, word="lost")
        assert calls == [(1, "lost")]
        assert [(str(each["message"]), repr(each["exception"])) for each in problems] == [
            (f"{take!r}, called by a transport, failed", "LookupError('lost')")
        ]

    play(scene)
