"""What is made of samples: medians, ratios, verdicts, and the section of the docs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from benchmarks import bars, report, summary
from benchmarks.bars import Row
from benchmarks.machine import Machine
from benchmarks.peers import MODULES, OURS, TITLES, workloads_of
from benchmarks.report import BEGIN, END, Run
from benchmarks.samples import Pair, Sample

RATE = Row("rate", "tell", "messages/s", higher_is_better=True, ratio_min=1.0)
TIME = Row("time", "tell", "us", higher_is_better=False, ratio_min=1.0)
FIGURES = st.floats(min_value=1e-3, max_value=1e9)


def _sample(peer: str, value: float) -> Sample:
    return Sample("tell", peer, 1, None, {"value": value}, 0.02, 0.03, 1.0)


def _pairs(*values: tuple[float, float]) -> list[Pair]:
    return [Pair(_sample("erlang", theirs), _sample(OURS, ours)) for ours, theirs in values]


def test_ratio_is_the_median_of_the_ratios_of_pairs() -> None:
    """A machine that is three times slower for one pair changes neither side's ratio."""
    made = summary.line(RATE, _pairs((100, 50), (30, 15), (100, 200)))
    assert made is not None
    assert made.ratios["erlang"] == summary.Spread(median=2.0, low=0.5, high=2.0, count=3)
    assert made.ours == summary.Spread(median=100, low=30, high=100, count=3)
    assert made.peers["erlang"].median == 50


@given(ours=FIGURES, theirs=FIGURES)
def test_ratio_above_one_is_in_our_favour_whatever_the_unit(ours: float, theirs: float) -> None:
    """For the same two figures, the ratio of a time is the inverse of the ratio of a rate."""
    rate, time = (summary.line(row, _pairs((ours, theirs))) for row in (RATE, TIME))
    assert rate is not None
    assert time is not None
    assert rate.ratios["erlang"].median * time.ratios["erlang"].median == pytest.approx(1)


@pytest.mark.parametrize(
    ("row", "ours", "expected"),
    [
        (RATE, 10.0, True),
        (RATE, 9.0, False),
        (Row("most", "tell", "ms", higher_is_better=False, figure_max=10.0), 10.0, True),
        (Row("most", "tell", "ms", higher_is_better=False, figure_max=10.0), 11.0, False),
        (Row("least", "tell", "k/s", higher_is_better=True, figure_min=10.0), 10.0, True),
        (Row("least", "tell", "k/s", higher_is_better=True, figure_min=10.0), 9.0, False),
        (Row("no bar", "tell", "k/s", higher_is_better=True), 9.0, None),
    ],
)
def test_bar_is_met_or_not(row: Row, ours: float, expected: bool | None) -> None:
    """Each kind of bar is held against the right figure, and no bar gives no verdict."""
    made = summary.line(row, _pairs((ours, 10.0)))
    assert made is not None
    assert made.met is expected


def test_ratio_bar_without_the_named_peer_gives_no_verdict() -> None:
    """Where the named peer is not installed, nothing is claimed."""
    made = summary.line(RATE, [Pair(_sample("pykka", 1.0), _sample(OURS, 2.0))])
    assert made is not None
    assert made.met is None


def test_figure_that_no_sample_has_makes_no_line() -> None:
    """A row is left out rather than shown empty."""
    assert summary.line(Row("absent", "tell", "us", higher_is_better=False, figure="p50_us"), _pairs((1, 1))) is None


def test_disturbed_sample_is_left_out_of_a_row_about_lateness_only() -> None:
    """The share of the core decides, not the figure, and the row says how many are missing."""
    disturbed = structs.replace(_sample(OURS, 30.0), cpu_share=0.9)
    pairs = [*_pairs((3.0, 1.0)), Pair(_sample("erlang", 1.0), disturbed)]
    lateness = Row("late", "tell", "ms", higher_is_better=False, figure_max=5.0, cpu_share_min=0.97)
    made, other = summary.line(lateness, pairs), summary.line(TIME, pairs)
    assert made is not None
    assert (made.ours, made.met, made.left_out) == (summary.Spread(3.0, 3.0, 3.0, 1), True, 1)
    assert made.ratios["erlang"].count == 1
    assert made.peers["erlang"].count == 2
    assert other is not None
    assert (other.ours, other.left_out) == (summary.Spread(16.5, 3.0, 30.0, 2), 0)


def test_every_row_and_every_participant_exists() -> None:
    """The data names works that are there, and peers that can do them."""
    assert {row.work for row in bars.ROWS} == set(bars.WORKLOADS)
    assert set(MODULES) == set(TITLES) == set(bars.ALL)
    for name, work in bars.WORKLOADS.items():
        for peer in set(work.sizes) - {"pykka", "xoscar"}:
            assert name in workloads_of(peer), f"{peer} cannot do {name}"


def test_section_of_the_docs_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    """Writing twice leaves one section, between the marks, and every other line as it was."""
    page = tmp_path / "page.md"
    other = f"{BEGIN.format('other')}\nkept\n{END.format('other')}"
    begin, end = BEGIN.format("figures"), END.format("figures")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n{other}\n", encoding="utf-8")
    report.write_section(page, "figures", "first")
    report.write_section(page, "figures", "second")
    assert page.read_text(encoding="utf-8") == f"before\n{begin}\n\nsecond\n\n{end}\nafter\n{other}\n"


def test_page_without_marks_is_refused(tmp_path: Path) -> None:
    """Nothing is written to a page that has no place for it."""
    page = tmp_path / "page.md"
    page.write_text("no marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has no place for figures"):
        report.write_section(page, "figures", "text")


def test_report_shows_ours_the_ratio_the_bar_and_the_verdict() -> None:
    """Table and markdown hold the same line."""
    machine = Machine("a processor", 2, "Linux", "CPython 3.11", {"Erlang": None}, "2026-01-01")
    run = Run(machine, 1, 1.0, {"tell": _pairs((3e6, 12e6))}, [])
    cells = ["W1 tell", "M messages/s", "3.00", "Erlang, one core", "0.25x (0.25-0.25)", ">= 1x, moonshot 2x"]
    cells.append("no, 0.25 of it")
    assert "  ".join(cells) in report.table(run)
    assert f"| {' | '.join(cells)} |" in report.markdown(run, "figures")


def test_each_section_holds_its_own_works_only() -> None:
    """What goes between processes stands apart, and a run without it leaves that section as it is."""
    machine = Machine("a processor", 2, "Linux", "CPython 3.11", {"Erlang": None}, "2026-01-01")
    workloads = {"tell": _pairs((3e6, 12e6)), "node_tell": _pairs((5e5, 2.5e5))}
    assert report.sections(Run(machine, 1, 1.0, {"tell": workloads["tell"]}, [])) == ["figures"]
    run = Run(machine, 1, 1.0, workloads, [])
    assert report.sections(run) == ["figures", "nodes"]
    assert "W1 tell" not in report.markdown(run, "nodes")
    assert "| 2.00x (2.00-2.00) | >= 1.5x, moonshot 2.5x | yes, 1.33 of it |" in report.markdown(run, "nodes")


@given(ratios=st.dictionaries(st.sampled_from(["erlang", "xoscar", "ray", "pykka"]), FIGURES))
def test_bar_with_several_peers_is_held_against_the_best_of_them(ratios: dict[str, float]) -> None:
    """Of the peers that the row names, one that is slower than another never decides; others never do."""
    row = Row("rate", "tell", "k/s", higher_is_better=True, ratio_to="xoscar", or_to=("ray",), ratio_min=1.0)
    spreads = {peer: summary.spread([ratio]) for peer, ratio in ratios.items()}
    lowest = min((ratios[peer] for peer in ("xoscar", "ray") if peer in ratios), default=None)
    assert summary.met(row, summary.spread([1.0]), spreads) is (None if lowest is None else lowest >= 1.0)
    assert lowest is None or ratios[summary.named(row, spreads)] == lowest
