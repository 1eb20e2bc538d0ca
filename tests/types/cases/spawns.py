"""A spawn checks the arguments of the actor's `__init__`; keywords of it beside a `name` are taken as they are."""

from functools import partial
from typing import reveal_type

from trouper import Actor, ActorRef, Mailbox, Message, Node, handler


class Deposit(Message[int]):
    amount: int


class Account(Actor):
    def __init__(self, owner: str, balance: int = 0) -> None:
        self.owner, self.balance = owner, balance

    @handler
    def deposit(self, msg: Deposit) -> int:
        """Add to the balance."""
        self.balance += msg.amount
        return self.balance


class Plain(Actor):
    pass


def greeter(msg: Deposit) -> int:
    """A function is an actor too."""
    return msg.amount


async def patient(actor: Actor, msg: Deposit) -> int:
    """So is one that is given its actor, and waits."""
    return msg.amount + actor.ref.address.uid


def counter(text: str) -> int:
    """This takes no message, and so is no actor."""
    return len(text)


async def spawn(node: Node) -> None:
    """Right and wrong arguments."""
    reveal_type(await node.spawn(Account, "ada"))  # T: ActorRef
    reveal_type(await node.spawn(Account, "ada", 5, name="ada", restart="permanent", shutdown_s=None))  # T: ActorRef
    reveal_type(await node.spawn(Plain))  # T: ActorRef
    reveal_type(await node.spawn(Account, owner="ada", balance=5))  # T: ActorRef
    reveal_type(await node.spawn(Account, "ada", balance=5))  # T: ActorRef
    reveal_type(await node.spawn(Account, owner="ada", name="ada", executor="thread"))  # T: ActorRef
    reveal_type(await node.spawn(Account, "ada", mailbox=Mailbox(), resume=(ValueError,), executor="gpu"))  # T: ActorRef
    reveal_type(await node.spawn(partial(Account, "ada", balance=5)))  # T: ActorRef
    reveal_type(await node.spawn(greeter, name="greeter"))  # T: ActorRef
    reveal_type(await node.spawn(patient))  # T: ActorRef

    await node.spawn(Account, 5)  # E(mypy): expected "Callable[[int], BareActor]"  # E(pyright): No overloads for "spawn" match  # E(pyright): "Literal[5]" is not assignable to "str"
    await node.spawn(Account, owner=5)  # E(mypy): No overload variant  # E(pyright): "Literal[5]" is not assignable to "str"
    await node.spawn(Account, holder="ada")  # E(mypy): No overload variant  # E(pyright): Argument missing for parameter "owner"  # E(pyright): No parameter named "holder"
    await node.spawn(Account, "ada", resume=ValueError)  # E(mypy): Unexpected keyword argument "resume"  # E(pyright): No overloads for "spawn" match  # E(pyright): No parameter named "resume"
    await node.spawn(Account)  # E(mypy): expected "Callable[[], BareActor]"  # E(mypy): Too few arguments  # E(pyright): No overloads for "spawn" match  # E(pyright): Argument missing for parameter "owner"
    await node.spawn(Account, "ada", 5, 6)  # E(mypy): expected "Callable[[str, int, int], BareActor]"  # E(mypy): Too many arguments  # E(pyright): No overloads for "spawn" match  # E(pyright): Expected 2 positional arguments
    await node.spawn(Plain, 5)  # E(mypy): expected "Callable[[int], BareActor]"  # E(pyright): No overloads for "spawn" match  # E(pyright): Expected 0 positional arguments
    await node.spawn(greeter, 5)  # E(mypy): expected "Callable[[int], BareActor]"  # E(pyright): No overloads for "spawn" match  # E(pyright): "int" is not assignable to "BareActor"  # E(pyright): "Literal[5]" is not assignable to "Deposit"
    await node.spawn(counter)  # E(mypy): expected "Callable[[], BareActor]"  # E(mypy): Too few arguments  # E(pyright): No overloads for "spawn" match  # E(pyright): "BareActor*" is not assignable to "str"
    await node.spawn("Account")  # E(mypy): No overload variant  # E(pyright): No overloads for "spawn" match  # E(pyright): "Literal['Account']" is not assignable
    await node.spawn(Account, "ada", restart="always")  # E(mypy): Unexpected keyword argument "restart"  # E(pyright): No overloads for "spawn" match  # E(pyright): No parameter named "restart"
    await node.spawn(Account, "ada", nome="ada")  # E(mypy): Unexpected keyword argument "nome"  # E(pyright): No parameter named "nome"


class Bank(Actor):
    """The same from inside of an actor."""

    @handler
    async def deposit(self, msg: Deposit) -> int:
        """Open an account for each deposit."""
        account = await self.spawn(Account, "ada", name="ada")
        reveal_type(account)  # T: ActorRef
        reveal_type(self.spawn_nowait(Account, "bob"))  # T: ActorRef
        reveal_type(self.ref)  # T: ActorRef
        reveal_type(self.node)  # T: Node
        await self.spawn(Account, 5)  # E(mypy): expected "Callable[[int], BareActor]"  # E(pyright): No overloads for "spawn" match  # E(pyright): "Literal[5]" is not assignable to "str"
        self.spawn_nowait(Account, 5)  # E(mypy): expected "Callable[[int], BareActor]"  # E(pyright): No overloads for "spawn_nowait" match  # E(pyright): "Literal[5]" is not assignable to "str"
        self.spawn_nowait(Account)  # E(mypy): expected "Callable[[], BareActor]"  # E(mypy): Too few arguments  # E(pyright): No overloads for "spawn_nowait" match  # E(pyright): Argument missing for parameter "owner"
        return await account.ask(msg)


def hand_out(refs: list[ActorRef]) -> ActorRef:
    """Refs are values."""
    return refs[0] if refs[0] == refs[1] else refs[hash(refs[1]) % 2]
