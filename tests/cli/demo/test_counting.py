import io
import itertools
import keyword
import tokenize
from collections import Counter
from pathlib import Path

import pytest

from trouper.cli.demo.counting import count_identifiers
from trouper.cli.demo.folder import find_files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spam = eggs(spam)", {"spam": 2, "eggs": 1}),
        ("if not True: pass", {}),
        ("_a1 é2 中", {"_a1": 1, "é2": 1, "中": 1}),
        ("0xFF 1e5 3j 0o777 1_000 1.e5", {}),
        ("a # b\nc", {"a": 1, "c": 1}),
        ("a = 'b' + \"c\" + rb'd' + f'{e}'", {"a": 1}),
        ('a = """b "c" \\""" d""" + e', {"a": 1, "e": 1}),
        ("a = '''b\n'c' \\''' d''' + e", {"a": 1, "e": 1}),
        ("a = 'it\\'s' + b", {"a": 1, "b": 1}),
        ("a = 'left open\nb = c", {"a": 1, "left": 1, "open": 1, "b": 1, "c": 1}),
    ],
)
def test_python_counts_names_outside_of_comments_and_literals(text: str, expected: dict[str, int]) -> None:
    """Names count; keywords, numbers, comments and literals do not; a literal that is left open is no literal."""
    assert count_identifiers(text, is_python=True) == expected


def test_other_text_counts_every_word_that_could_be_a_name() -> None:
    """In text that is no Python, quotes and number signs mean nothing."""
    assert count_identifiers("it's # one 2nd 'word' one", is_python=False) == {"it": 1, "s": 1, "one": 2, "word": 1}


def test_python_counts_agree_with_the_tokenizer() -> None:
    """On files of the standard library without f-strings the counts are those of Python's own tokenizer."""
    checked = 0
    for path in find_files(None)[::25]:
        tokens = _tokens(path)
        if tokens is not None:
            checked += 1
            assert count_identifiers(path.read_text("utf-8"), is_python=True) == tokens, path
    assert checked > 10


def _tokens(path: Path) -> Counter[str] | None:
    """The names that the tokenizer finds; None for what it refuses, or may see otherwise than we do."""
    text = path.read_bytes()
    try:
        found = [*tokenize.tokenize(io.BytesIO(text).readline)]
        text.decode("utf-8")
    except (SyntaxError, tokenize.TokenError, UnicodeDecodeError):
        return None
    glued = any(
        a.type == tokenize.NUMBER and a.end == b.start and b.type == tokenize.NAME for a, b in itertools.pairwise(found)
    )
    if glued or b"f'" in text or b'f"' in text or b"F'" in text or b'F"' in text:
        return None
    return Counter(
        token.string for token in found if token.type == tokenize.NAME and not keyword.iskeyword(token.string)
    )
