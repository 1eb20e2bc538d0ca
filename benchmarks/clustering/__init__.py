"""A simulator for the pure membership: a thousand nodes on one core, from one seed."""
