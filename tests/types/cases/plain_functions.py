"""The harness itself, shown on functions that have nothing to do with actors."""

from typing import reveal_type


def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


reveal_type(double(2))  # T: int
reveal_type([double(2)])  # T: list[int]
double("2")  # E(mypy): incompatible type "str"; expected "int"  # E(pyright): "Literal['2']" is not assignable to "int"
double(2).upper()  # E: "upper"
