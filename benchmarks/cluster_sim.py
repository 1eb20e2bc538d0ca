"""``python -m benchmarks.cluster_sim [--case NAME] [--seed N] [--quick]``: the membership in virtual time.

Prints a table of markdown, a row for each case: its bar, and what came out.  The figures are facts of virtual time and
depend on the seed alone; the last column is how long this machine took.
"""

from __future__ import annotations

import argparse
import gc
import time

from .clustering.cases import CASES, QUICK


def main() -> None:
    """Run the cases that are asked for, and print each as it ends."""
    parser = argparse.ArgumentParser(description="Simulate the membership of a cluster.")
    parser.add_argument("--case", choices=[*CASES], action="append", help="only this one; may be said again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="small clusters and short times")
    given = parser.parse_args()
    cases = QUICK if given.quick else CASES
    print("| case | bar | holds | figures | wall s |\n|---|---|---|---|---|")
    for name in given.case or CASES:
        gc.collect()
        gc.disable()  # the machines make no cycles, and a thousand views are many objects to look through
        began = time.perf_counter()
        outcome = cases[name](given.seed)
        took = time.perf_counter() - began
        gc.enable()
        holds = outcome.holds and took <= outcome.wall_s_max
        figures = ", ".join(f"{what} {_shown(value)}" for what, value in outcome.figures.items())
        print(f"| {name} | {outcome.bar} | {'yes' if holds else 'NO'} | {figures} | {took:.1f} |", flush=True)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


if __name__ == "__main__":
    main()
