from collections.abc import Callable

from trouper import Message
from trouper.runtime.kernel.ask import Ask, FromSelf, ToldWithHeaders
from trouper.runtime.kernel.handler_table import HandlerEntry, HandlerTable, handle_on_slow_path


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


def _handling(call: Callable[[object, object], object], *, is_async: bool = False) -> HandlerEntry:
    return HandlerEntry(call, call, is_async=is_async, reentrant=False)


def test_a_plain_handler_is_on_the_fast_path() -> None:
    """The dispatcher calls a plain handler itself, and leaves an async one and every envelope to the cell."""
    handler_table = HandlerTable({Base: _handling(_plain), Unrelated: _handling(_async, is_async=True)})
    assert handler_table.plain == {
        Base: _plain,
        **dict.fromkeys((Unrelated, Ask, FromSelf, ToldWithHeaders), handle_on_slow_path),
    }


def test_a_subclass_is_handled_as_the_nearest_base() -> None:
    """The most specific handler wins, in the order of inheritance."""
    base, derived = _handling(_plain), _handling(_plain)
    handler_table = HandlerTable({Base: base, Derived: derived})
    assert handler_table.find(Base) is base
    assert handler_table.find(Derived) is derived
    assert handler_table.find(MoreDerived) is derived


def test_what_is_found_by_inheritance_is_on_the_fast_path_from_then_on() -> None:
    """The search happens once for each type."""
    handler_table = HandlerTable({Base: _handling(_plain)})
    assert MoreDerived not in handler_table.plain
    handler_table.find(MoreDerived)
    assert handler_table.plain[MoreDerived] is _plain


def test_a_type_without_a_handler_is_not_found_and_leaves_no_trace() -> None:
    """However many unknown types arrive, the tables do not grow."""
    handler_table = HandlerTable({Base: _handling(_plain)})
    assert handler_table.find(Unrelated) is None
    assert handler_table.find(str) is None
    assert set(handler_table.entries) == {Base}
    assert set(handler_table.plain) == {Base, Ask, FromSelf, ToldWithHeaders}
