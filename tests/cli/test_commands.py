import subprocess
import sys

import pytest
from click.testing import CliRunner

from trouper.cli.commands import trouper

LATER = (
    "asyncio",
    "rich",
    "psutil",
    "uvloop",
    "msgspec",
    "trouper.cli.demo",
    "trouper.cli.bench",
    "trouper.cli.doctor",
)


def test_a_wrong_command_is_answered_with_those_that_there_are() -> None:
    """The error names every command."""
    result = CliRunner().invoke(trouper, ["dmeo"])
    assert result.exit_code == 2
    assert (
        result.output.splitlines()[-1]
        == "Error: there is no command 'dmeo'; there are: bench, cluster, demo, doctor, keygen, node, run"
    )


@pytest.mark.parametrize("command", ["demo", "run", "bench", "doctor", "keygen"])
def test_every_command_has_help(command: str) -> None:
    """`--help` of each command says what it does."""
    result = CliRunner().invoke(trouper, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: trouper {command}")


def test_a_wrong_work_is_answered_with_those_that_there_are() -> None:
    """`trouper bench nonsense` runs nothing and names the works."""
    result = CliRunner().invoke(trouper, ["bench", "nonsense"])
    assert result.exit_code == 2
    assert "Error: no such workload: nonsense; there are " in result.output


def test_help_imports_no_command() -> None:
    """`trouper --help` loads nothing that only a command needs."""
    program = (
        "import sys, trouper.cli.commands as c\n"
        "try: c.trouper(['--help'])\n"
        f"except SystemExit: print('LATE', *sorted(set({LATER!r}) - {{'asyncio', 'msgspec'}} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "LATE"


def test_python_m_trouper_is_the_command() -> None:
    """`python -m trouper --version` says the version under the command's name."""
    command = [sys.executable, "-m", "trouper", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("trouper, version ")
