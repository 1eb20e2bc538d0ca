"""The kernel, to be read top to bottom in an hour.

Order of reading: ``errors``, ``address``, ``messages``, ``handler_table``, ``ask``, ``mailbox``, ``supervision``, ``ref``,
``cell``, ``handling``, ``lane``, ``lifecycle``, ``dispatcher``, ``clock``, ``actor``, ``system``.
"""
