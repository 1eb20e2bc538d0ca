"""The split brain resolver: when a network partition divides the cluster, one side stays and the others go down.

``view`` is what one side knows.  ``strategies`` choose a side, ``decision`` names the members that go down, and
``stability`` is how long to wait first.  ``resolver`` is the state machine that waits, asks for a lease and orders
members down.
"""
