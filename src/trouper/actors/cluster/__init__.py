"""The cluster: who belongs to it, how nodes find one another, where actors are put.

A file that decides is marked pure and is shared by the actors, the simulator and the tests.  Nothing is imported here:
a program pays only for what it names.
"""
