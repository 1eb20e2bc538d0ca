import pytest

from tests.printed import matches


@pytest.mark.parametrize(
    ("expected", "output", "expectation"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nc\n", True),
        ("a\n...\nc\n", "a\nb\n", False),
        ("a ... c\n", "a b c\n", True),
        ("a ... c\n", "a b\nc\n", False),
        ("...\nc\n", "a\nb\nc\n", True),
        ("x#4\n", "x#17\n", True),
        ("x#4\n", "x#a\n", False),
        ("x (y) *\n", "x (y) *\n", True),
    ],
)
def test_dots_stand_for_text_and_lines(expected: str, output: str, *, expectation: bool) -> None:
    """Dots match any lines, or any text within one, and a uid any number; all else is literal."""
    assert matches(expected, output) is expectation
