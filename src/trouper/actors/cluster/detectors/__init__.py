"""Failures that the cluster reports: ``failures`` are the events, ``phi`` is the detector of silent sessions."""
