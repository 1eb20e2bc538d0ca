"""Routers: one ref in front of several actors, and strategies for who gets the next message.

Read ``routing`` (who is chosen), ``gathering`` (one ask answered from several), ``router`` (the actor), then ``pool``
and ``group`` (where its routees come from).
"""
