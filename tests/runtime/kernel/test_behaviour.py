from collections.abc import Callable

from trouper import Message
from trouper.runtime.kernel.behaviour import Behaviour, Handling, unusual


class Base(Message):
    pass


class Derived(Base):
    pass


class MoreDerived(Derived):
    pass


class Unrelated(Message):
    pass


def _plain(actor: object, message: object) -> object:
    return None


async def _async(actor: object, message: object) -> object:
    return None


def _handling(call: Callable[[object, object], object], *, is_async: bool = False) -> Handling:
    return Handling(call, call, is_async=is_async, reentrant=False)


def test_a_plain_handler_is_on_the_fast_path() -> None:
    """The dispatcher calls a plain handler itself, and leaves an async one to the cell."""
    behaviour = Behaviour({Base: _handling(_plain), Unrelated: _handling(_async, is_async=True)})
    assert behaviour.plain == {Base: _plain, Unrelated: unusual}


def test_a_subclass_is_handled_as_the_nearest_base() -> None:
    """The most specific handler wins, in the order of inheritance."""
    base, derived = _handling(_plain), _handling(_plain)
    behaviour = Behaviour({Base: base, Derived: derived})
    assert behaviour.find(Base) is base
    assert behaviour.find(Derived) is derived
    assert behaviour.find(MoreDerived) is derived


def test_what_is_found_by_inheritance_is_on_the_fast_path_from_then_on() -> None:
    """The search happens once for each type."""
    behaviour = Behaviour({Base: _handling(_plain)})
    assert MoreDerived not in behaviour.plain
    behaviour.find(MoreDerived)
    assert behaviour.plain[MoreDerived] is _plain


def test_a_type_without_a_handler_is_not_found_and_leaves_no_trace() -> None:
    """However many unknown types arrive, the tables do not grow."""
    behaviour = Behaviour({Base: _handling(_plain)})
    assert behaviour.find(Unrelated) is None
    assert behaviour.find(str) is None
    assert set(behaviour.handlings) == set(behaviour.plain) == {Base}
