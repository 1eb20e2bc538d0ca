import typing

import msgspec
import pytest

from trouper.runtime.session import effects
from trouper.runtime.session.effects import CloseWire, Effect, OpenWire, Transmit


def test_effects_are_values() -> None:
    """Two effects that say the same are equal, so that a machine can be tested by what it returns."""
    assert OpenWire("sim://a") == OpenWire("sim://a") != OpenWire("sim://b")
    assert len({OpenWire("sim://a"), OpenWire("sim://a"), CloseWire("sim://a")}) == 2
    with pytest.raises(AttributeError, match="immutable"):
        setattr(Transmit("sim://a", (b"x",)), "sequence", 5)  # noqa: B010  a plain assignment is refused by type checkers


def test_every_effect_is_in_the_union() -> None:
    """Who matches on ``Effect`` has seen all of them."""
    classes = {value for value in vars(effects).values() if isinstance(value, type)}
    defined = {each for each in classes if issubclass(each, msgspec.Struct) and each.__module__ == effects.__name__}
    assert defined == set(typing.get_args(Effect))
