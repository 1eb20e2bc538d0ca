"""The registry of headers and their bounds; what follows is stated in ``tests/runtime/actor/test_headers.py``."""

import asyncio
import re

import pytest

from trouper import CallerError, InvalidOption, Message, Node
from trouper.runtime.kernel.headers import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    checked_headers,
    declare_header,
    following,
    over_limit,
)

USER = declare_header("user", follows=True)
FENCE = declare_header("fence", follows=False)
MANY = [declare_header(f"many-{number}", follows=number % 2 == 0) for number in range(HEADERS_MAX + 1)]


def test_a_header_is_declared_once_with_one_meaning() -> None:
    """The same declaration again does nothing; another one is refused and changes nothing."""
    assert declare_header("user", follows=True) == "user"
    with pytest.raises(CallerError, match=re.escape("the header 'user' was declared with follows=True already")):
        declare_header("user", follows=False)
    assert following({USER: b"x"}) == {USER: b"x"}


@pytest.mark.parametrize("name", ["", "User", "1st", "a b", "ä", "a" * 65, "-a", "a\n"])
def test_the_name_of_a_header_is_checked(name: str) -> None:
    """It is 1 to 64 of a few characters, so that it can stand in logs, on the wire and in other systems' headers."""
    with pytest.raises(InvalidOption, match="must be 1 to 64 of a-z"):
        declare_header(name, follows=True)


def test_what_a_program_gives_is_checked() -> None:
    """Unknown names, values that are no bytes, too many headers, too many bytes: each is refused with its reason."""
    with pytest.raises(InvalidOption, match="the header 'nobodys' is not declared: call declare_header"):
        checked_headers({"nobodys": b""})
    with pytest.raises(InvalidOption, match="the header 'user' is 'text': a header is bytes"):
        checked_headers({USER: "text"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]  on purpose
    with pytest.raises(InvalidOption, match="a message has 17 headers, at most 16 are allowed"):
        checked_headers(dict.fromkeys(MANY, b""))
    with pytest.raises(InvalidOption, match="the headers of a message take 4097 bytes, at most 4096 are allowed"):
        checked_headers({USER: b"x" * (HEADER_BYTES_MAX + 1 - len(USER))})


def test_the_bounds_themselves_are_allowed() -> None:
    """Sixteen headers, or 4,096 bytes of name and value, pass; they are copied."""
    assert over_limit(dict.fromkeys(MANY[:HEADERS_MAX], b"")) is None
    given = {USER: b"x" * (HEADER_BYTES_MAX - len(USER))}
    checked = checked_headers(given)
    given[USER] = b"changed"
    assert len(checked[USER]) == HEADER_BYTES_MAX - len(USER)


def test_only_declared_headers_follow() -> None:
    """A fence stays behind, and so does a header that another node made up."""
    assert following({USER: b"a", FENCE: b"7", "unheard-of": b""}) == {USER: b"a"}
    assert following({FENCE: b"7"}) is None
    assert following({}) is None
    assert following(None) is None


class Ping(Message):
    """Any message."""


def test_a_ref_refuses_wrong_headers_before_anything_is_sent() -> None:
    """The error comes from ``with_headers``, and nothing is counted as sent."""

    async def main() -> None:
        async with Node() as node:

            async def take(msg: Ping) -> None:
                raise AssertionError("nothing may come here")

            ref = await node.spawn(take)
            before = node.accounting().sent
            with pytest.raises(InvalidOption):
                ref.with_headers({"nobodys": b""}).tell(Ping())
            assert node.accounting().sent == before

    asyncio.run(main())
