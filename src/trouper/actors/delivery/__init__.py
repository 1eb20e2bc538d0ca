"""At-least-once delivery: a sender that tries again until a message is handled, and a receiver that knows repetitions.

Nothing is imported here; the public names are in ``trouper.delivery``.
"""
