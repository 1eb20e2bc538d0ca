import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import trouper
from trouper.cli.demo.folder import find_files
from trouper.cli.demo.job import CountResult, count_in_sequence, count_with_actors, differences
from trouper.cli.demo.workers import Progress, Totals


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Forty small files of text, and one that is none."""
    for number in range(40):
        (tmp_path / f"{number}.py").write_text(f"name_{number % 7} = shared + {'x' * (number + 1)}\n")
    (tmp_path / "data.bin").write_bytes(b"\0\1")
    return find_files(tmp_path)


def _run(paths: list[Path], *, chaos: bool, on_progress: Callable[[Progress], None]) -> CountResult:
    ended: list[CountResult] = []
    trouper.run(
        partial(count_with_actors, paths, 3, workers=0, chaos=chaos, on_progress=on_progress, on_end=ended.append)
    )
    (outcome,) = ended
    return outcome


@pytest.mark.parametrize("chaos", [False, True])
def test_the_crew_counts_what_a_plain_loop_counts(paths: list[Path], chaos: bool) -> None:
    """With a crash in the middle or without, the result is that of a sequential count; the crash costs one restart."""
    outcome = _run(paths, chaos=chaos, on_progress=lambda _: None)
    assert outcome.complete
    assert differences(outcome.totals, count_in_sequence(paths)) == []
    assert outcome.totals.progress.restarts == outcome.totals.progress.reissued == int(chaos)
    assert outcome.totals.skipped == {str(paths[-1]): "binary"}


def test_one_file_is_enough_for_the_chaos(paths: list[Path]) -> None:
    """Midway through one file is before its end: its worker crashes and it is counted all the same."""
    outcome = _run(paths[:1], chaos=True, on_progress=lambda _: None)
    assert outcome.totals.progress == Progress(1, 1, paths[0].stat().st_size, 1, 1)


def test_a_count_that_is_given_up_has_an_outcome(paths: list[Path]) -> None:
    """Cancelling ends the count in order, and what was counted by then is given, marked as a part."""

    def give_up(_: Progress) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    ended: list[CountResult] = []
    with pytest.raises(asyncio.CancelledError):
        trouper.run(
            partial(count_with_actors, paths, 3, workers=0, chaos=False, on_progress=give_up, on_end=ended.append)
        )
    (outcome,) = ended
    assert not outcome.complete
    assert outcome.totals.progress.done < len(paths)


def test_differences_name_the_word_and_the_file() -> None:
    """Two counts that differ say in which identifiers, files and bytes."""
    ours = Totals(Progress(2, 2, 5, 0, 0), {"a": 1, "b": 2}, {"x": "binary"})
    plain = Totals(Progress(2, 2, 6, 0, 0), {"a": 1, "b": 3}, {})
    assert differences(ours, plain) == [
        "'b': 2 by the actors, 3 in sequence",
        "x: binary by the actors, counted in sequence",
        "5 bytes by the actors, 6 in sequence",
    ]
    assert differences(plain, plain) == []


def test_a_process_killed_midway_costs_no_file(paths: list[Path]) -> None:
    """Spread over two workers, one of which kills itself with SIGKILL in the middle of a file, the table is right."""
    ended: list[CountResult] = []
    count = partial(count_with_actors, paths, 2, workers=2, chaos=True, on_progress=lambda _: None)
    trouper.run(partial(count, on_end=ended.append))
    (outcome,) = ended
    assert outcome.complete
    assert differences(outcome.totals, count_in_sequence(paths)) == []
    assert outcome.totals.progress.reissued >= 1
    assert outcome.totals.progress.restarts >= 1
