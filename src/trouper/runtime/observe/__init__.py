"""Observing a node from outside: introspection, traces, events, dead letters, reports, the recorder, the watchdog.

It builds on ``kernel`` alone.
"""
