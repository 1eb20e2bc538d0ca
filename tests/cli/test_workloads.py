"""The benchmark workloads at tiny sizes: they do what they time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path

import pytest

import trouper
from trouper.cli import baseline
from trouper.cli.bench import bench
from trouper.cli.measurements import Figures, percentile, resident_bytes
from trouper.cli.workloads import WORKLOADS

SIZES: Mapping[str, int] = {
    "tell": 1_500,  # above the high-water mark, so that the sender is held back
    "ask": 30,
    "ask_many": 2_000,
    "ask_from_many": 2_000,
    "spawn": 20,
    "ring": 250,
    "restart": 3,
    "fairness": 4,
}
Run = Callable[[int], Coroutine[object, object, Figures]]


@pytest.mark.parametrize("name", WORKLOADS)
def test_work_checks_its_answer_and_gives_a_figure(name: str) -> None:
    """Each work ends, its own check passes, and the figure of the table is there."""
    assert trouper.run(partial(WORKLOADS[name].run, SIZES[name]))["value"] > 0


@pytest.mark.parametrize("run", baseline.WORKLOADS.values(), ids=baseline.WORKLOADS)
def test_the_baseline_does_the_same_work(run: Run) -> None:
    """Each baseline ends, its own check passes, and the figure of the table is there."""
    assert trouper.run(partial(run, 250))["value"] > 0


def test_every_baseline_belongs_to_a_workload() -> None:
    """No baseline is measured for nothing."""
    assert set(baseline.WORKLOADS) < set(WORKLOADS)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)])
def test_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """The nearest rank is taken, whatever the order of the values."""
    assert percentile([5.0, 3.0, 1.0, 4.0, 2.0], share) == expected


def test_resident_bytes_grow_with_what_is_kept() -> None:
    """Keeping 50 MB shows; where the system does not say, the figure is no number."""
    before = resident_bytes()
    kept = bytearray(b"x" * 50_000_000)
    grown = resident_bytes() - before
    assert math.isnan(grown) or 40e6 < grown < 80e6
    assert len(kept) == 50_000_000


def test_bench_prints_a_table_and_keeps_the_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table names the work, and the file has every round of ours and of the baseline."""
    monkeypatch.setattr("trouper.cli.bench.WORKLOADS", {"ring": WORKLOADS["ring"]._replace(size=250)})
    bench([], 2, str(tmp_path / "kept.json"))
    assert "W4 ring of 100" in capsys.readouterr().out
    kept = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))
    assert {peer: len(samples) for peer, samples in kept["workloads"]["ring"].items()} == {"trouper": 2, "baseline": 2}


def test_bench_refuses_what_is_no_work() -> None:
    """The error names the workloads that there are."""
    with pytest.raises(ValueError, match=r"^no such workload: tel; there are tell, ask, .*$"):
        bench(["tel"], 1, None)


def test_bench_refuses_no_rounds() -> None:
    """At least one sample is taken."""
    with pytest.raises(ValueError, match=r"^rounds=0 must be at least 1$"):
        bench([], 0, None)
