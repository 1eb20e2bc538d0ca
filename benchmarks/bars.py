"""The workloads, which peers take part in each with which size, and the bars (data).

A row of the table is one figure of one workload.  A bar is either a ratio to the named peer, where more is better
whatever the unit (twice the rate and half the time are both 2.0x), or an absolute figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL = (
    "trouper", "trouper_asyncio", "baseline", "asyncio", "pykka", "xoscar", "erlang", "erlang_all_cores",
    "trouper_direct", "zeromq", "pipe", "monarch", "ray",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of the table.

    figure: its name in a sample.  ratio_to: the named peer.  or_to: others in its place, the best of which counts.
    ratio_min, figure_max, figure_min: the bar; None is no bar.
    moonshot: a ratio beyond the bar.  scale: what the figure is divided by before it is shown in ``unit``.
    cpu_share_min: a sample whose process had its core for less of the time is left out, and counted.  For lateness
    only: another process that takes the core for 4 ms makes every timer late, whatever the loop does.  0: all count.
    """

    title: str
    work: str
    unit: str
    higher_is_better: bool
    figure: str = "value"
    ratio_to: str = "erlang"
    ratio_min: float | None = None
    figure_max: float | None = None
    figure_min: float | None = None
    moonshot: float | None = None
    scale: float = 1.0
    cpu_share_min: float = 0.0
    or_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Workload:
    """One work: its size by peer (a peer that is not named takes no part) and how many rounds are enough.

    cores: how many a sample uses; it is pinned where that is one.  section: of the page that its rows stand in.
    """

    sizes: Mapping[str, int]
    rounds: int | None = None
    by_default: bool = True
    cores: int = 1
    section: str = "figures"


def _between_processes(sizes: Mapping[str, int]) -> Workload:
    return Workload(sizes, by_default=False, cores=2, section="nodes")


_ERLANGS, _PYTHONS = ("erlang_all_cores",), ("monarch", "ray")

WORKLOADS: Mapping[str, Workload] = {
    "tell": Workload(
        {
            "trouper": 1_000_000,
            "trouper_asyncio": 1_000_000,
            "baseline": 1_000_000,
            "asyncio": 500_000,
            "pykka": 100_000,
            "xoscar": 50_000,
            "erlang": 1_000_000,
            "erlang_all_cores": 1_000_000,
        }
    ),
    "tell_gen_server": Workload({"trouper": 1_000_000, "erlang": 1_000_000}),
    "ask": Workload(
        {
            "trouper": 100_000,
            "trouper_asyncio": 100_000,
            "baseline": 200_000,
            "asyncio": 50_000,
            "pykka": 10_000,
            "xoscar": 20_000,
            "erlang": 200_000,
            "erlang_all_cores": 200_000,
        }
    ),
    "ask_many": Workload(
        {
            "trouper": 200_000,
            "trouper_asyncio": 200_000,
            "asyncio": 200_000,
            "pykka": 20_000,
            "xoscar": 20_000,
            "erlang": 300_000,
            "erlang_all_cores": 300_000,
        }
    ),
    "ask_from_many": Workload({"trouper": 200_000, "erlang": 300_000, "erlang_all_cores": 300_000}),
    "spawn": Workload(
        {
            "trouper": 100_000,
            "trouper_asyncio": 100_000,
            "asyncio": 100_000,
            "pykka": 1_000,
            "xoscar": 5_000,
            "erlang": 100_000,
            "erlang_all_cores": 100_000,
        }
    ),
    "ring": Workload(
        {
            "trouper": 500_000,
            "trouper_asyncio": 500_000,
            "baseline": 1_000_000,
            "asyncio": 200_000,
            "pykka": 20_000,
            "xoscar": 20_000,
            "erlang": 1_000_000,
            "erlang_all_cores": 1_000_000,
        }
    ),
    "restart": Workload(
        {"trouper": 500, "trouper_asyncio": 500, "xoscar": 2, "erlang": 1_000, "erlang_all_cores": 1_000}
    ),
    "restart_logged": Workload({"trouper": 500, "erlang": 1_000}),
    "fairness": Workload(
        {
            "trouper": 4_000,
            "trouper_asyncio": 4_000,
            "baseline": 2_000,
            "asyncio": 2_000,
            "xoscar": 2_000,
            "erlang": 2_000,
            "erlang_all_cores": 2_000,
        }
    ),
    "start": Workload({"trouper": 5, "baseline": 5, "pykka": 5, "xoscar": 5, "erlang": 3}),
    "first_message": Workload({"trouper": 5, "asyncio": 5}),
    # Minutes of memory traffic and more than a gigabyte, so only when it is asked for.
    "memory": Workload({"trouper": 1_000_000, "erlang": 1_000_000}, rounds=1, by_default=False),
    "node_tell": _between_processes(
        {
            "trouper": 300_000,
            "trouper_direct": 300_000,
            "zeromq": 1_000_000,
            "pipe": 1_000_000,
            "erlang": 500_000,
            "erlang_all_cores": 500_000,
            "xoscar": 4_000,
            "monarch": 4_000,
            "ray": 4_000,
        }
    ),
    "node_tell_gen_server": _between_processes({"trouper": 300_000, "erlang": 500_000, "erlang_all_cores": 500_000}),
    "node_ask": _between_processes(
        {
            "trouper": 5_000,
            "trouper_direct": 5_000,
            "zeromq": 10_000,
            "pipe": 10_000,
            "erlang": 10_000,
            "erlang_all_cores": 10_000,
            "xoscar": 2_000,
            "monarch": 1_000,
            "ray": 1_000,
        }
    ),
    "node_ask_many": _between_processes(
        {
            "trouper": 100_000,
            "trouper_direct": 100_000,
            "zeromq": 100_000,  # no pipe: a thousand small answers that nobody reads yet do not fit into it
            "erlang": 100_000,
            "erlang_all_cores": 100_000,
            "xoscar": 5_000,
            "monarch": 4_000,
            "ray": 4_000,
        }
    ),
}

ROWS: tuple[Row, ...] = (
    Row("W1 tell", "tell", "M messages/s", True, ratio_min=1.0, moonshot=2.0, scale=1e6),
    Row(
        "W1 tell, every one awaited",
        "tell",
        "M messages/s",
        True,
        figure="awaited_per_s",
        scale=1e6,
    ),
    Row("W1 tell, beside gen_server:cast", "tell_gen_server", "M messages/s", True, scale=1e6),
    Row("W2 ask, rate", "ask", "k asks/s", True, ratio_min=1.0, scale=1e3),
    Row("W2 ask, p50", "ask", "us", False, figure="p50_us", ratio_min=1.0),
    Row("W2b 1,000 asks in flight", "ask_many", "k asks/s", True, ratio_min=0.8, scale=1e3),
    Row("W2b from 1,000 askers", "ask_from_many", "k asks/s", True, scale=1e3),
    Row("W3 spawn", "spawn", "k spawns/s", True, figure_min=100.0, scale=1e3),
    Row("W3 memory of an idle actor", "spawn", "bytes", False, figure="bytes_each", figure_max=1000.0),
    Row("W3 a million actors", "memory", "GB", False, figure="resident_bytes", figure_max=1.2, scale=1e9),
    Row("W4 ring of 100", "ring", "M hops/s", True, ratio_min=0.6, moonshot=1.0, scale=1e6),
    Row("W10 restart", "restart", "us", False, figure_max=150.0),
    Row("W10 restart, beside formatted reports", "restart_logged", "us", False),
    Row(
        "fairness: 1 ms timer, p99 late",
        "fairness",
        "ms",
        False,
        figure_max=5.0,
        cpu_share_min=0.97,
    ),
    Row("start: `import trouper`", "start", "ms", False, ratio_to="baseline", figure_max=150.0),
    Row("start: first message handled", "first_message", "ms", False, ratio_to="asyncio", figure_max=250.0),
    Row(
        "W5 tell, beside distributed Erlang",
        "node_tell",
        "k messages/s",
        True,
        or_to=_ERLANGS,
        ratio_min=1.5,
        moonshot=2.5,
        scale=1e3,
    ),
    Row(
        "W5 tell, beside the best Python peer",
        "node_tell",
        "k messages/s",
        True,
        ratio_to="xoscar",
        or_to=_PYTHONS,
        ratio_min=50,
        scale=1e3,
    ),
    Row("W5 tell, beside gen_server:cast", "node_tell_gen_server", "k messages/s", True, or_to=_ERLANGS, scale=1e3),
    Row("W6 ask p50, beside raw ZeroMQ", "node_ask", "us", False, ratio_to="zeromq", ratio_min=0.5),
    Row("W6 ask p50, beside xoscar", "node_ask", "us", False, ratio_to="xoscar", ratio_min=round(1 / 0.35, 2)),
    Row("W6 ask p99", "node_ask", "us", False, figure="p99_us"),
    Row(
        "W6b 1,000 asks in flight",
        "node_ask_many",
        "k asks/s",
        True,
        or_to=_ERLANGS,
        ratio_min=2.5,
        moonshot=4.0,
        scale=1e3,
    ),
)
