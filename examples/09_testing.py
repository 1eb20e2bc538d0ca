"""A test of an hour in a millisecond: unmodified actors on virtual time, with a probe that expects messages."""

import time

from trouper import Actor, ActorRef, Message, Node, handler
from trouper.testing import Probe, ProbeFailed, run_virtual


class Alarm(Message):
    """Wake up."""


class Snooze(Message):
    """Ring again later."""

    minutes: float


class Clock(Actor):
    """Rings after an hour; nothing in it knows of tests."""

    def __init__(self, sleeper: ActorRef) -> None:
        self.sleeper = sleeper

    def on_start(self) -> None:
        """Set the alarm."""
        self.timers.once("alarm", 3600, Alarm())

    @handler
    def ring(self, msg: Alarm) -> None:
        """Pass it on."""
        self.sleeper.tell(msg)

    @handler
    def snooze(self, msg: Snooze) -> None:
        """Set the alarm anew."""
        self.timers.once("alarm", msg.minutes * 60, Alarm())


async def scenario() -> None:
    """What a test looks like."""
    async with Node() as node:
        probe = Probe(node)  # an actor of the test's own
        clock = await node.spawn(Clock, probe.ref)
        await probe.expect_no(within_s=3599)
        await probe.expect(Alarm, within_s=1)
        clock.tell(Snooze(10))
        async with probe.within(601, least_s=600):
            await probe.expect(Alarm(), within_s=1000)
        print("rang after an hour, and ten minutes later")
        try:
            await probe.expect(Snooze)
        except ProbeFailed as error:
            print("a failure says what came:", error, sep="\n")


began = time.perf_counter()
run_virtual(scenario)
print("took less than a second:", time.perf_counter() - began < 1)

# Output:
# | rang after an hour, and ten minutes later
# | a failure says what came:
# | <trouper://local/user/$4#4> expected Snooze within 3 s, but nothing came
# | received so far: 2
# |   Alarm()
# |   Alarm()
# | took less than a second: True
