"""Actors as users write them: handlers, spawning, timers, the stash, links, supervisors, state machines, routers.

It builds on ``kernel`` alone.  ``trouper`` re-exports what is public.
"""
