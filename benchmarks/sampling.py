"""Samples in fresh processes, ours and a peer's in turn.

A machine that others use is fast one second and slow the next.  So no figure stands alone: each sample of a peer has
one of ours taken just before or just after it on the same core, and the ratio of the two is what counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from . import bars
from .peers import OURS, erlang, installed
from .samples import Pair, Sample

ROOT = Path(__file__).parent.parent
SAMPLE_S_MAX = 600.0
SAID_CHARS_MAX = 4_000
PATIENCE_S, WATCHED_S, QUIET_SHARE = 15.0, 0.2, 0.9  # how long to wait for a core that idles this much of the time


class SampleFailed(Exception):
    """The process of a sample ended without figures; the text has its command and its last words."""


def pairs(
    work: str, peers: Sequence[str], rounds: int, scale: float, said: Callable[[str], None], failed: list[str]
) -> list[Pair]:
    """Take all samples of one work.

    rounds: pairs with each peer.  scale: what every size is multiplied by.  said: told of each pair as it comes.
    failed: gets the reason of each pair that is left out because one of its processes ended without figures.
    """
    setting = bars.WORKLOADS[work]
    ours = OURS in setting.sizes and OURS in peers
    present: list[str | None] = [peer for peer in peers if peer in setting.sizes and peer != OURS]
    taken: list[Pair] = []
    for number in range(min(rounds, setting.rounds or rounds)):
        for peer in present or [None]:
            if peer is None and not ours:
                continue
            try:
                taken.append(_pair(work, peer, ours, ours_first=number % 2 == 0, scale=scale))
            except (SampleFailed, subprocess.TimeoutExpired) as failure:
                failed.append(str(failure))
                said(f"{work} round {number + 1}: left out, because {failure}")
            else:
                said(f"{work} round {number + 1}: {_line(taken[-1])}")
    return taken


def _pair(work: str, peer: str | None, ours: bool, ours_first: bool, scale: float) -> Pair:
    cores = bars.WORKLOADS[work].cores
    core = quiet_core(cores)
    if cores > 1:
        core = None  # its processes may be wherever there is room
    names = [name for name in ((OURS if ours else None), peer) if name is not None]
    taken = {name: sample(work, name, core, scale) for name in (names if ours_first else reversed(names))}
    return Pair(peer=taken.get(peer) if peer else None, ours=taken.get(OURS))


def sample(work: str, peer: str, core: int | None, scale: float) -> Sample:
    """Take one sample in a fresh process."""
    size = max(1, int(bars.WORKLOADS[work].sizes[peer] * scale))
    command = [sys.executable, "-m", "benchmarks.one", work, peer, "--size", str(size)]
    if core is not None:
        command += ["--core", str(core)]
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},  # so that this tree is measured, whatever is installed
        capture_output=True,
        timeout=SAMPLE_S_MAX,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-SAID_CHARS_MAX:]
        raise SampleFailed(f"{' '.join(command)} ended with {done.returncode}; it said:\n{said}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Sample)


def quiet_core(cores: int = 1) -> int | None:
    """Wait until so many cores idle, for ``PATIENCE_S`` at most, and return the one that idles most.

    None where the system does not say; then samples are not pinned.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        before, started = _idle_ticks(), time.monotonic()
        time.sleep(WATCHED_S)
        after, watched_s = _idle_ticks(), time.monotonic() - started
        idle_s = {core: (after[core] - before[core]) / os.sysconf("SC_CLK_TCK") for core in after}
        if not idle_s:
            return None
        best = sorted(idle_s, key=lambda core: idle_s[core], reverse=True)
        last = best[min(cores, len(best)) - 1]
        if idle_s[last] >= QUIET_SHARE * watched_s or time.monotonic() >= end:
            return best[0]


def _idle_ticks() -> dict[int, int]:
    """Read how long each core that we may use has idled, from /proc/stat."""
    stat = Path("/proc/stat")
    if not stat.exists() or not hasattr(os, "sched_getaffinity"):
        return {}
    usable = os.sched_getaffinity(0)
    fields = [line.split() for line in stat.read_text(encoding="ascii").splitlines() if line.startswith("cpu")]
    return {int(each[0][3:]): int(each[4]) for each in fields[1:] if int(each[0][3:]) in usable}


@contextmanager
def prepared() -> Generator[None]:
    """Compile the Erlang sources once for all samples of a run."""
    if "erlang" not in installed():
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        erlang.compile_into(folder)
        os.environ[erlang.COMPILED_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[erlang.COMPILED_VARIABLE]


def _line(pair: Pair) -> str:
    sides = [each for each in (pair.ours, pair.peer) if each is not None]
    return ", ".join(f"{each.peer} {each.figures['value']:,.2f}" for each in sides)
