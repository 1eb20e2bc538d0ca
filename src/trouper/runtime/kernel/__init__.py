"""The kernel: actors of one event loop, their messages, mailboxes and supervision.  It depends on msgspec alone.

Order of reading: ``errors``, ``address``, ``message``, ``handler_table``, ``ask``, ``deadlock``, ``mailbox``,
``supervision``, ``ref``, ``cell``, ``invocation``, ``signals``, ``lifecycle``, ``restart``, ``dispatcher``, ``clock``,
``bare_actor``, ``system``; then the port ``journal``.
"""
