"""Benchmarks: Trouper beside other actor systems, interleaved, with the bars it is held to.

``python -m benchmarks`` runs them; ``python -m benchmarks --help`` lists the choices.  ``docs/benchmarks.md`` says how
it is measured and holds the last committed figures.

    bars.py         the works, who takes part with how much, and the bars (data)
    sampling.py     one sample is one fresh process on one core; ours and a peer's in turn
    one.py          the inside of such a process
    summary.py      medians and ratios (pure)
    report.py       table, JSON, markdown
    machine.py      what it ran on
    peers/          one file a peer; each has the works it can do
    pieces.py       what the parts of a message cost, to explain the table
    links.py        what a link costs while nothing is said over it, by shares.py (pure)
    savina/         the Savina actor benchmarks, as checked examples
"""
