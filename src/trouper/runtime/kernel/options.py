"""Checks of options: a wrong value is refused with the name of the option, the value and what is allowed (PURE)."""

from __future__ import annotations

from .errors import InvalidOption


def check_seconds(name: str, value: object, *, none: str = "", zero: bool = False) -> None:
    """Raise ``InvalidOption`` unless it is a number of seconds above 0.

    none: what None means, where None is allowed; empty where it is not.  zero: whether 0 is allowed.
    """
    if value is None and none:
        return
    if isinstance(value, int | float) and not isinstance(value, bool) and (value > 0 or (zero and value == 0)):
        return
    allowed = ("0 or more" if zero else "above 0") + (f", or None for {none}" if none else "")
    raise InvalidOption(f"{name}={value!r:.100} must be {allowed}")


def check_count(name: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """Raise ``InvalidOption`` unless it is a whole number from ``least`` to ``most``; None has no limit."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value and (most is None or value <= most):
        return
    allowed = f"{least} or more" if most is None else f"{least} to {most}"
    raise InvalidOption(f"{name}={value!r:.100} must be {allowed}")
