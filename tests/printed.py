"""What examples and documents say that a program prints, as a pattern for what it did print."""

import re


def output_pattern(expected: str) -> str:
    """A line `...` stands for any number of lines, `...` within a line for any text, digits after `#` for any uid."""
    lines = ["(?:.*\n)*?" if line == "...\n" else _line_pattern(line) for line in expected.splitlines(keepends=True)]
    return "".join(lines)


def _line_pattern(line: str) -> str:
    return re.sub(r"\\#\d+", r"\\#\\d+", re.escape(line).replace(r"\.\.\.", ".*"))


def matches(expected: str, output: str) -> bool:
    """Whether a program printed what it was said to print."""
    return re.fullmatch(output_pattern(expected), output) is not None
