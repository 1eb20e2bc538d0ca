"""Messages are frozen, their fields are checked, and they say what the reply is."""

from typing import reveal_type

from trouper import ActorRef, Message


class Deposit(Message[int]):
    amount: int
    teller: str = "bob"


class Note(Message):
    text: str


class Find(Message[str | None]):
    key: str


class BigDeposit(Deposit):
    signature: str = ""


class Later(Message):
    reply_to: ActorRef


deposit = Deposit(5)
Deposit(amount=5, teller="al")
reveal_type(deposit)  # T: Deposit
reveal_type(deposit.amount)  # T: int
reveal_type(BigDeposit(1).teller)  # T: str

Deposit("x")  # E(mypy): incompatible type "str"; expected "int"  # E(pyright): "Literal['x']" is not assignable to "int"
Deposit()  # E(mypy): Missing positional argument "amount"  # E(pyright): Argument missing for parameter "amount"
Deposit(1, "al", 2)  # E(mypy): Too many arguments  # E(pyright): Expected 2 positional arguments
Deposit(1, tellar="al")  # E(mypy): Unexpected keyword argument "tellar"  # E(pyright): No parameter named "tellar"
deposit.amount = 6  # E(mypy): Property "amount" defined in "Deposit" is read-only  # E(pyright): "amount"
deposit.nothing  # E(mypy): has no attribute "nothing"  # E(pyright): "nothing"


def later(ref: ActorRef) -> Later:
    """A ref is a field like any other."""
    reveal_type(Later(ref).reply_to)  # T: ActorRef
    return Later("ada")  # E(mypy): incompatible type "str"; expected "ActorRef"  # E(pyright): "Literal['ada']" is not assignable to "ActorRef"
