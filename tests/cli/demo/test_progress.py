import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trouper.cli.demo.progress import show_demo

COMMAND = [sys.executable, "-m", "trouper", "demo"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of text."""
    for name, text in (("a.txt", "ham spam ham"), ("b.txt", "eggs ham"), ("c.py", "ham  # spam")):
        (tmp_path / name).write_text(text)
    return tmp_path


def _steady(text: str) -> str:
    """The text without what differs from run to run."""
    text = re.sub(r"in [\d.]+ s: [\d,]+ files/s, [\d.]+ MB/s", "in T s: F files/s, M MB/s", text)
    return re.sub(r"took [\d.]+ s", "took T s", text)


def test_plain_output_is_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where stdout is no terminal, the table and the figures are plain lines, and reports go to stderr."""
    assert show_demo(folder, actors=2, workers=0, top=2, chaos=True, verify=True) == 0
    out, err = capsys.readouterr()
    assert _steady(out) == (
        f"counting identifiers in 3 files below {folder} with 2 actors\n"
        "       count  identifier\n"
        "           4  ham\n"
        "           1  eggs\n"
        "3 files, 0.0 MB in T s: F files/s, M MB/s\n"
        "6 identifiers, 3 different; actors: 2, restarts: 1, files handed out again: 1\n"
        "verified: equal to a plain sequential count, which took T s\n"
    )
    failed, restarted, again = err.splitlines()
    assert re.fullmatch(
        r"trouper://demo/user/counters/counter-\d#\d+ failed .*CountFile\(number=1, .*fault='stumble'\).*: "
        r"trouper\.cli\.demo\.workers\.InjectedFailure: a failure on purpose \(see --no-chaos\)",
        failed,
    )
    assert re.fullmatch(
        r"trouper://demo/user/counters/counter-\d#\d+ is restarted by trouper://demo/user/counters#\d+", restarted
    )
    assert again == "'b.txt' was lost with its counter, and is handed out again"


def test_without_chaos_nothing_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--no-chaos` reports nothing and restarts nobody; no table is printed for `--top 0`."""
    assert show_demo(folder, actors=1, workers=0, top=0, chaos=False, verify=False) == 0
    out, err = capsys.readouterr()
    assert "restarts: 0, files handed out again: 0\n" in out
    assert "identifier\n" not in out
    assert err == ""


def test_an_empty_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file to count the exit code is 2 and the way out is named."""
    assert show_demo(tmp_path, actors=1, workers=0, top=1, chaos=True, verify=True) == 2
    assert capsys.readouterr().err == f"there is no file to count below {tmp_path}: give another folder with --input\n"


def test_a_terminal_gets_a_bar_and_a_table(folder: Path) -> None:
    """In a terminal the bar, the failure and a drawn table are seen."""
    main, child = pty.openpty()
    command = [*COMMAND, "--input", str(folder), "--top", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=child, stderr=subprocess.STDOUT, stdin=child, env=environment) as process:
        os.close(child)
        seen = _read_all(main)
    assert process.returncode == 0
    assert "3/3" in seen
    assert "a failure on purpose" in seen
    assert re.search(r"│\s+4\s+│.*ham", seen)


def _read_all(descriptor: int) -> str:
    seen = b""
    try:
        while chunk := os.read(descriptor, 65_536):
            seen += chunk
    except OSError:  # how Linux says that the other end of a terminal has been closed
        pass
    os.close(descriptor)
    return seen.decode()


def test_ctrl_c_ends_with_what_is_counted(tmp_path: Path) -> None:
    """SIGINT in the middle gives the partial table and exit code 130, and no worker's file is reported as lost."""
    for number in range(400):
        (tmp_path / f"{number:03}.txt").write_text("spam eggs " * 20_000)
    command = [*COMMAND, "--input", str(tmp_path), "--top", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # the crash midway: the count has begun, and is not at its end
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert "a failure on purpose" in first
    assert process.returncode == 130
    assert re.search(r"^interrupted after \d+ of 400 files: the counts are partial$", out, re.MULTILINE)
    assert err.count("is handed out again") <= 1  # that of the crash, if there was time for it
    assert "Traceback" not in err
