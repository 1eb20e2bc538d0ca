"""The lines of a stream are bounded in length and rate."""

from hypothesis import given
from hypothesis import strategies as st

from trouper.runtime.workers.output_lines import LAST_LINES_KEPT, OutputLines


@given(st.lists(st.sampled_from(["", "a", "bc", "ä", "x" * 7]), max_size=20), st.lists(st.integers(1, 9), max_size=30))
def test_lines_are_the_same_however_the_bytes_come(lines: list[str], cuts: list[int]) -> None:
    """Split anywhere, also within a character, the same lines come out, the last one without a newline too."""
    data = "\n".join(lines).encode()
    made = OutputLines(100, 1_000)
    found: list[str] = []
    for size in [*cuts, len(data)]:
        found += made.feed(data[:size], 0.0)
        data = data[size:]
    found += made.end(0.0)
    expected = "\n".join(lines).split("\n")
    assert found == (expected if expected[-1] else expected[:-1])
    assert made.last == found[-LAST_LINES_KEPT:]


def test_a_long_line_comes_in_parts_before_it_ends() -> None:
    """The buffer never exceeds the limit."""
    made = OutputLines(4, 1_000)
    assert made.feed(b"abcdefghij", 0.0) == ["abcd", "efgh"]
    assert made.feed(b"\n1234\n", 0.0) == ["ij", "1234"]


def test_lines_beyond_the_rate_are_counted() -> None:
    """As many lines as a second allows; a notice with the count of omitted lines comes before the next line."""
    made = OutputLines(100, 2)
    assert made.feed(b"1\n2\n3\n4\n", 0.0) == ["1", "2"]
    assert made.feed(b"5\n", 0.25) == []
    assert made.feed(b"6\n", 1.0) == ["[... 3 lines omitted: more than 2 a second]", "6"]
    assert made.feed(b"7\n8\n9\n", 1.0) == ["7"]
    assert made.end(1.0) == ["[... 2 lines omitted: more than 2 a second]"]
    assert made.last[-3:] == ["7", "8", "9"]


def test_bytes_that_are_not_text_are_shown() -> None:
    """A carriage return at the end is not part of the line."""
    assert OutputLines(100, 10).feed(b"\xff\r\n", 0.0) == ["\\xff"]
