"""Benchmarks: Trouper beside other actor systems, in alternating samples, with thresholds (bars).

``python -m benchmarks`` runs them; ``python -m benchmarks --help`` lists the options.  ``docs/benchmarks.md`` describes
the method and contains the last committed figures.

    bars.py         the workloads, which peers take part with which size, and the bars (data)
    sampling.py     samples in fresh processes on one core, of Trouper and a peer in turn
    one.py          the program of such a process
    summary.py      medians and ratios (pure)
    report.py       table, JSON, markdown
    machine.py      facts about the machine
    peers/          one file for each peer, with the workloads that it supports
    pieces.py       the cost of the parts of a message, to explain the table
    savina/         the Savina actor benchmarks, as checked examples
"""
