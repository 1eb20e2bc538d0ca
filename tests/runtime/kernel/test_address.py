import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trouper import Address, InvalidName
from trouper.runtime.kernel.address import NAME_CHARS_MAX, checked_name, parse_address

NAME_CHARS = string.ascii_letters + string.digits + "_.@+~:=,-"
names = st.text(NAME_CHARS, min_size=1, max_size=NAME_CHARS_MAX)
paths = st.lists(names | st.just("$17"), max_size=5).map("/".join)


@given(names, paths, st.integers(min_value=0))
def test_an_address_reads_back_from_its_text(node: str, path: str, uid: int) -> None:
    """What an address is written as is read as an equal address, whatever its node, path and uid."""
    address = Address(node, path, uid)
    assert parse_address(str(address)) == address


def test_an_address_is_written_as_the_design_shows_it() -> None:
    """The text names the node, the path without a leading slash, and the uid."""
    assert str(Address("local", "user/bank/ada", 17)) == "trouper://local/user/bank/ada#17"


@pytest.mark.parametrize(
    "text",
    ["", "ada", "trouper://", "trouper://local", "trouper://local/user", "trouper://local/user#", "trouper://local/user#x",
     "trouper:///user#1", "http://local/user#1", " trouper://local/user#1", "trouper://local/user#1 ",
     "trouper://local/user#1\n", "trouper://local/user#-1", "trouper://a#b/user#1"],
)  # fmt: skip
def test_text_that_is_no_address_is_refused_with_what_was_expected(text: str) -> None:
    """Reading anything else raises an error that shows the text and the form."""
    with pytest.raises(InvalidName) as caught:
        parse_address(text)
    assert str(caught.value) == f"{text!r} is no address: expected trouper://NODE/PATH#UID"


@given(names)
def test_a_name_of_allowed_characters_is_returned_as_it_is(name: str) -> None:
    """Every character that the error message lists is allowed, up to the limit."""
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "a/b", "/", "a#1", "a b", "a\n", "ä", "$1", "a\0", "a*"])
def test_a_name_that_an_address_cannot_carry_is_refused(name: str) -> None:
    """The error shows the name and what is allowed; `$` is kept for names that the runtime makes up."""
    with pytest.raises(InvalidName) as caught:
        checked_name(name)
    assert str(caught.value) == (
        f"the name {name!r} cannot be used: take 1 or more of the characters A-Z a-z 0-9 _.@+~:=,-"
    )


def test_a_name_is_limited_and_the_error_stays_short() -> None:
    """One character more than the limit is refused, without repeating all of the name."""
    assert checked_name("x" * NAME_CHARS_MAX)
    with pytest.raises(InvalidName) as caught:
        checked_name("x" * (NAME_CHARS_MAX + 1))
    assert str(caught.value) == f"the name {'x' * 20!r}... has 201 characters; at most 200 are allowed"


@pytest.mark.parametrize("name", [".", ".."])
def test_dots_are_names_like_others(name: str) -> None:
    """A path is never resolved as one of a file system, so dots mean nothing."""
    assert parse_address(str(Address("n", f"user/{name}/x", 1))).path == f"user/{name}/x"
