"""The split brain resolver: when a network partition divides the cluster, one side stays and the others go down.

``view`` is what one side knows, ``strategies`` choose a side, ``decision`` says which members go down,
``stability`` how long to wait first, and ``resolver`` is the state machine that waits, asks for a lease and orders members down.
"""
