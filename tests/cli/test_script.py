import ast
import subprocess
import sys
from pathlib import Path

import pytest

from trouper.cli.script import has_main, runs_itself

HELLO = """\
import sys
import trouper
from trouper import Actor, Message, Node, handler

class Greet(Message[str]):
    who: str

class Greeter(Actor):
    @handler
    def greet(self, msg: Greet) -> str:
        return f"hello, {msg.who}"

async def main() -> None:
    async with Node() as node:
        greeter = await node.spawn(Greeter)
        print(await greeter.ask(Greet(sys.argv[1])), __name__)
"""


def _run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trouper", "run", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "end",
    ["", "trouper.run(main)\n", 'if __name__ == "__main__":\n    trouper.run(main)\n'],
    ids=["bare", "run", "guard"],
)
def test_main_runs_once(tmp_path: Path, end: str) -> None:
    """A script's main runs once, whether the script runs it itself or leaves that to the command; as `__main__`."""
    script = tmp_path / "hello.py"
    script.write_text(HELLO + end)
    result = _run(script, "ada", "--verbose")
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello, ada __main__\n", "")


def test_a_script_without_main_is_refused_before_it_runs(tmp_path: Path) -> None:
    """Nothing of a script without `async def main` is run, and the message says what to do."""
    script = tmp_path / "plain.py"
    script.write_text("print('ran')\ndef main(): ...\n")
    result = _run(script)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith(
        f"Error: {script} has no `async def main()` at its top level: add one, or run it with `python {script}`\n"
    )


def test_an_error_is_shown_from_the_script_on(tmp_path: Path) -> None:
    """A traceback begins in the script, as python's own does, and the exit code is 1."""
    script = tmp_path / "wrong.py"
    script.write_text("async def main():\n    raise ValueError('no')\n")
    result = _run(script)
    assert result.returncode == 1
    assert result.stderr == (
        "Traceback (most recent call last):\n"
        f'  File "{script}", line 2, in main\n'
        "    raise ValueError('no')\n"
        "ValueError: no\n"
    )


def test_a_syntax_error_is_shown_without_our_frames(tmp_path: Path) -> None:
    """A file that is no Python is reported as python reports it."""
    script = tmp_path / "wrong.py"
    script.write_text("x = (\n")
    result = _run(script)
    assert result.returncode == 1
    assert result.stderr.startswith(f'  File "{script}", line 1\n    x = (\n')


def test_the_exit_code_is_the_scripts(tmp_path: Path) -> None:
    """`sys.exit(7)` in a script ends the command with 7."""
    script = tmp_path / "seven.py"
    script.write_text("import sys\nasync def main():\n    sys.exit(7)\n")
    assert _run(script).returncode == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("async def main(): ...\nrun(main)", True),
        ("async def main(): ...\nasyncio.run(main())", True),
        ("async def main(): ...\nif x:\n    run(main)", True),
        ("async def main(): ...\nclass A:\n    m = main", True),
        ("async def main(): ...\ndef f(): return main", False),
        ("async def main(): main = 1", False),
    ],
)
def test_a_script_that_uses_main_when_loaded_runs_itself(text: str, expected: bool) -> None:
    """Whatever mentions `main` outside of functions is taken to run it."""
    tree = ast.parse(text)
    assert has_main(tree)
    assert runs_itself(tree) is expected
