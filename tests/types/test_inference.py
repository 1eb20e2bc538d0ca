"""What mypy and pyright infer and refuse, in every file of `cases/`, and that this check itself can fail."""

import shutil
from pathlib import Path

import pytest

from tests.types.checkers import CHECKERS, Checker, Said, check, differences, expectations

HERE = Path(__file__).parent


def _problems(checker: Checker, folder: Path) -> list[str]:
    cases = sorted((folder / "cases").glob("*.py"))
    assert cases, "there is nothing to check"
    expected = [said for case in cases for said in expectations(case.name, case.read_text("utf-8"), checker)]
    return differences(expected, check(checker, folder))


@pytest.mark.parametrize("checker", CHECKERS)
def test_cases_are_inferred_and_refused_as_their_comments_say(checker: Checker) -> None:
    """Each checker reports the errors and reveals the types that the comments of the cases name, and nothing else."""
    problems = _problems(checker, HERE)
    assert not problems, "\n".join([f"{checker} disagrees with the cases:", *problems])


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_case_that_is_wrong_about_a_checker_is_noticed(checker: Checker, tmp_path: Path) -> None:
    """An error that does not come, a type that differs and an error that nobody expects are each reported."""
    (tmp_path / "cases").mkdir()
    shutil.copy(HERE / "pyrightconfig.json", tmp_path)
    lines = ["from typing import reveal_type", "print(1)  # E: absent", 'reveal_type(len("x"))  # T: str', "len(3)", ""]
    (tmp_path / "cases" / "wrong.py").write_text("\n".join(lines), "utf-8")
    problems = _problems(checker, tmp_path)
    assert problems[:2] == ["wrong.py:2: expected E: absent", "wrong.py:3: expected T: str"]
    assert problems[2] == "wrong.py:3: unexpected T: int"
    assert problems[3].startswith("wrong.py:4: unexpected E: Argument ")
    assert len(problems) == 4


def test_a_comment_may_hold_several_expectations() -> None:
    """Expectations on one line are told apart, and each is for the checker it names, or for both."""
    line = "f()  # E(mypy): one # thing  # E(pyright): another  # T: list[int]\n"
    assert expectations("case.py", line, "mypy") == [
        Said("case.py", 1, "E", "one # thing"),
        Said("case.py", 1, "T", "list[int]"),
    ]
    assert expectations("case.py", line, "pyright") == [
        Said("case.py", 1, "E", "another"),
        Said("case.py", 1, "T", "list[int]"),
    ]


def test_one_error_meets_one_expectation_of_its_line_only() -> None:
    """An error on another line, or with another text, meets nothing; two errors on a line need two expectations."""
    wanted = [Said("case.py", 1, "E", "refused")]
    assert differences(wanted, [Said("case.py", 1, "E", "it is refused")]) == []
    assert differences(wanted, [Said("case.py", 2, "E", "it is refused")]) == [
        "case.py:1: expected E: refused",
        "case.py:2: unexpected E: it is refused",
    ]
    assert differences(wanted, [Said("case.py", 1, "E", "it is refused"), Said("case.py", 1, "E", "and odd")]) == [
        "case.py:1: unexpected E: and odd"
    ]
