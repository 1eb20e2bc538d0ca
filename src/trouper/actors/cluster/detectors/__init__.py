"""Failure detectors behind one protocol, and the events that handlers of failures get.

``protocol`` says what a detector is; ``phi`` and ``deadline`` watch heartbeats, ``swim`` shows the suspicion of the
membership in the same way; ``failures`` are the events.
"""
