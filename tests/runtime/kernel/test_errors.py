import inspect

import pytest

import trouper
from trouper.runtime.kernel import errors

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.TrouperError)]
FAULTS = (errors.CallerError, errors.ActorError, errors.Reject, errors.InternalError)


@pytest.mark.parametrize("cls", ALL)
def test_every_error_says_whose_fault_it_is(cls: type[errors.TrouperError]) -> None:
    """Each error but the root stands under exactly one of the four faults."""
    if cls is not errors.TrouperError:
        assert sum(issubclass(cls, fault) for fault in FAULTS) == 1


@pytest.mark.parametrize("cls", ALL)
def test_every_error_is_exported_and_explained(cls: type[errors.TrouperError]) -> None:
    """A user can catch each error by a name from the facade, and read what it means."""
    assert getattr(trouper, cls.__name__) is cls
    assert inspect.getdoc(cls)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.InvalidName, ValueError),
        (errors.InvalidOption, ValueError),
        (errors.InvalidHandler, TypeError),
        (errors.TagTaken, TypeError),
        (errors.WrongReply, TypeError),
        (errors.AskTimeout, TimeoutError),
    ],
)
def test_an_error_is_also_the_builtin_that_python_users_catch(cls: type[Exception], builtin: type[Exception]) -> None:
    """`except TimeoutError`, `except ValueError` and `except TypeError` work as anywhere else in Python."""
    assert issubclass(cls, builtin)


def test_a_deadlock_names_its_ring_and_the_ways_out() -> None:
    """The error lists the actors from the asker around to the asker, and says what to change."""
    error = errors.DeadlockError(("a", "b", "a"))
    assert error.cycle == ("a", "b", "a")
    assert str(error) == (
        "this ask closes a cycle of waiting actors: a -> b -> a; "
        "let one of them tell instead of ask, or mark the handler that is asked @handler(reentrant=True)"
    )
