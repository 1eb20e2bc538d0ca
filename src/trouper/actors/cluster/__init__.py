"""The cluster: membership, discovery, split-brain resolution, replicated names, groups, topics, services, placement.

Files marked pure hold the decisions; the actors, the simulator and the tests share them.  Nothing is imported here, so
a program loads only the modules that it names.
"""
