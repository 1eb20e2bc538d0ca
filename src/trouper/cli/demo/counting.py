"""Counting the identifiers of one text (PURE).

An identifier is a maximal run of letters, digits and underscores that does not begin with a digit and is not a keyword
of Python.  In Python source, comments and string literals are left out.  They are found by a regular expression and not
by a parser, which would take four times as long: code that is no valid Python is counted all the same, and a quote
inside the braces of an f-string ends it.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter

_WORD = re.compile(r"\d\w*|([^\W\d]\w*)")
_NAME_IN_PYTHON = re.compile(
    r"""
      \#[^\n]*
    | [rbfuRBFU]{0,2} (?:
          \"{3} [^"\\]*+ (?: (?: \\. | "(?!"") ) [^"\\]*+ )*+ \"{3}
        | '{3}  [^'\\]*+ (?: (?: \\. | '(?!'') ) [^'\\]*+ )*+ '{3}
        | "     [^"\\\n]*+ (?: \\. [^"\\\n]*+ )*+ "
        | '     [^'\\\n]*+ (?: \\. [^'\\\n]*+ )*+ '
      )
    | \d[\w.]*
    | ([^\W\d]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def count_identifiers(text: str, *, is_python: bool) -> dict[str, int]:
    """Return how often each identifier stands in the text; ``is_python`` leaves out comments and literals."""
    counts = Counter((_NAME_IN_PYTHON if is_python else _WORD).findall(text))
    for word in ("", *keyword.kwlist):
        counts.pop(word, None)
    return counts
