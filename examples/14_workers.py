"""One program on several processes: two workers use two cores, and a killed one is restarted behind the same refs."""

import logging
import os
import signal

import trouper
from trouper import Actor, ActorStopped, Message, Node, handler


class CountPrimes(Message[int]):
    """How many primes there are from ``first`` up to, and without, ``last``."""

    first: int
    last: int


class Process(Message[int]):
    """The reply is the number of the process."""


class Mathematician(Actor):
    """Counts primes.  It does not know where it is."""

    @handler
    def count(self, msg: CountPrimes) -> int:
        """Count, at the cost of a core."""
        return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(2, msg.first), msg.last))

    @handler
    def process(self, msg: Process) -> int:
        """Say where this is."""
        return os.getpid()


async def main() -> None:
    """Count on two cores, then kill one of the two."""
    logging.getLogger("trouper").setLevel(logging.CRITICAL)  # what is killed here is killed on purpose
    async with Node(workers=2) as node:
        print("workers:", *node.workers)
        ada, ben = [await node.spawn(Mathematician, place=worker) for worker in node.workers]
        low, high = ada.ask(CountPrimes(0, 5_000)), ben.ask(CountPrimes(5_000, 10_000))  # at the same time
        print("primes below 10,000:", await low + await high)

        before = await ada.ask(Process())
        print("processes:", len({before, await ben.ask(Process()), os.getpid()}))
        os.kill(before, signal.SIGKILL)
        try:
            await ada.ask(Process())
        except ActorStopped:
            pass  # the question was on its way when the worker died
        print("another process:", await ada.ask(Process()) != before)
        print("and it counts:", await ada.ask(CountPrimes(0, 100)))


if __name__ == "__main__":  # a worker imports this file too, to find its classes
    trouper.run(main)

# Output:
# | workers: local.worker-1 local.worker-2
# | primes below 10,000: 1229
# | processes: 3
# | another process: True
# | and it counts: 25
