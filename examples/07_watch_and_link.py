"""The end of another actor: `watch` sends one `Down`, `link` makes both fail."""

import logging

import trouper
from trouper import Actor, ActorRef, Down, Message, Node, handler


class Work(Message):
    """Fail when the task is `bad`."""

    task: str


class Worker(Actor):
    """Temporary: it is not restarted, so others hear of its end."""

    @handler
    def work(self, msg: Work) -> None:
        """Do it."""
        if msg.task == "bad":
            raise ValueError("bad task")
        print(self.ref.name, "did", msg.task)


class Observer(Actor):
    """Hears of each worker's end exactly once."""

    def __init__(self, workers: list[ActorRef]) -> None:
        self.left = len(workers)
        for worker in workers:
            self.watch(worker)

    @handler
    def on_down(self, msg: Down) -> None:
        """`reason` is `stopped`, `killed`, `failed`, `node_lost` or `no_such_actor`."""
        print(f"{msg.ref.name} is down: {msg.reason}, error: {msg.error}")
        self.left -= 1
        if not self.left:
            self.stop()


class Partner(Actor):
    """Ends when the actor that it is linked to fails: the two are of no use alone."""

    def __init__(self, other: ActorRef) -> None:
        self.link(other)

    def on_stop(self) -> None:
        """Called at an orderly end."""
        print("the partner ends too")


async def main() -> None:
    """End three workers in three ways."""
    logging.disable()  # the crash is on purpose: leave its report out of the output
    async with Node() as node:
        workers = [await node.spawn(Worker, name=name, restart="temporary") for name in ("ann", "bob", "cid")]
        ann, bob, cid = workers
        observer = await node.spawn(Observer, workers)
        partner = await node.spawn(Partner, cid, restart="temporary")
        ann.tell(Work("good"))
        await ann.drain()
        await bob.kill()
        cid.tell(Work("bad"))
        await observer.wait_stopped()
        print("the partner has", await partner.wait_stopped())


trouper.run(main)

# Output:
# | ann did good
# | ann is down: stopped, error: None
# | bob is down: killed, error: None
# | cid is down: failed, error: ValueError: bad task
# | the partner ends too
# | the partner has failed
