"""What becomes of a cluster that is cut in two: one side goes on, the others go down.

``view`` is what one side knows, ``strategies`` how to choose, ``deciding`` the decision from both, ``stability`` how
long to wait before it, and ``resolver`` the state machine that waits, asks for a lease and gives the orders.
"""
