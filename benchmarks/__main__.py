"""``python -m benchmarks``: measure, print the table, and keep the figures where it is said to."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from . import bars, machine, report, sampling
from .peers import OURS, installed
from .report import Run

DOCS = sampling.ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Read the command line and do as it says."""
    given = _arguments()
    if given.from_json is not None:
        run = msgspec.json.decode(given.from_json.read_bytes(), type=Run)
    else:
        run = measure(_workloads(given), given.peers, given.rounds, given.scale)
    if given.json is not None:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))
    texts = {section: report.markdown(run, section) for section in report.sections(run)}
    print("\n\n".join(texts.values()) if given.markdown else report.table(run))
    if given.write_docs:
        for section, text in texts.items():
            report.write_section(DOCS, section, text)
    if run.failed:
        sys.exit(f"{len(run.failed)} pairs were left out; see above why")


def measure(workloads: list[str], peers: list[str] | None, rounds: int, scale: float) -> Run:
    """Take every sample; progress goes to standard error.

    workloads: names from ``bars.WORKLOADS``.  peers: names, None for all that are installed.  rounds: pairs a peer.
    scale: what every size is multiplied by.
    """
    present = [peer for peer in installed() if peers is None or peer in peers or peer == OURS]
    absent = sorted(set(bars.ALL if peers is None else peers) - set(present))
    if absent:
        _say(f"not installed, and so left out: {', '.join(absent)}")
    with sampling.prepared():
        failed: list[str] = []
        taken = {work: sampling.pairs(work, present, rounds, scale, _say, failed) for work in workloads}
    return Run(machine.look(), rounds, scale, taken, failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORK",
        help=f"of {', '.join(bars.WORKLOADS)}; none: all in one process but `memory`",
    )
    parser.add_argument("--all", action="store_true", help="every work, the million actors too")
    parser.add_argument("--memory", action="store_true", help="only the million actors")
    parser.add_argument("--nodes", action="store_true", help="only what goes between two processes")
    parser.add_argument("--peers", nargs="+", choices=bars.ALL, help="beside these only; left out: all installed")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of samples with each peer (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all sizes, as 0.1 for a quick look (1)")
    parser.add_argument("--json", type=Path, help="keep every sample in this file")
    parser.add_argument("--from-json", type=Path, help="measure nothing: show what was kept in this file")
    parser.add_argument("--markdown", action="store_true", help="print it as docs/benchmarks.md has it")
    parser.add_argument("--write-docs", action="store_true", help="write into docs/benchmarks.md what was measured")
    return parser.parse_args()


def _workloads(given: argparse.Namespace) -> list[str]:
    if given.memory:
        return ["memory"]
    if given.nodes:
        return [name for name, work in bars.WORKLOADS.items() if work.section == "nodes"]
    unknown = [name for name in given.workloads if name not in bars.WORKLOADS]
    if unknown:
        sys.exit(f"no such work: {', '.join(unknown)}; there are {', '.join(bars.WORKLOADS)}")
    return given.workloads or [name for name, work in bars.WORKLOADS.items() if work.by_default or given.all]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
