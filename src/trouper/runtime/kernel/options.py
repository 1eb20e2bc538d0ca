"""Checks of options: a wrong value is refused with the name of the option, the value and what is allowed (PURE)."""

from __future__ import annotations

from math import inf

from .errors import InvalidOption

NUMBER_MAX = 1_000_000_000
"""The largest value of an option without a lower limit, 31 years of seconds; inf only where it has a meaning."""


def check_number(
    name: str,
    value: object,
    *,
    unit: str = ", in seconds",
    zero: bool = False,
    most: float = NUMBER_MAX,
    none: str = "",
    infinite: str = "",
) -> None:
    """Raise ``InvalidOption`` unless it is a number above 0, and at most ``most``.

    unit: what the error says of it.  zero: whether 0 is allowed.
    none, infinite: what None and inf mean, where they are allowed; empty where not.
    """
    allowed = ("0 or more" if zero else "above 0") + unit
    if value is None and none:
        return
    if isinstance(value, int | float) and not isinstance(value, bool) and (value > 0 or (zero and value == 0)):
        if value <= most or (infinite and value == inf):
            return
        allowed += f", and at most {most:,}"
    allowed += f"; None is {none}" * bool(none) + f"; inf is {infinite}" * bool(infinite)
    raise InvalidOption(f"{name}={_shown(value)} must be {allowed}")


def check_count(name: str, value: object, *, least: int = 1, most: int = NUMBER_MAX, none: str = "") -> None:
    """Raise ``InvalidOption`` unless it is a whole number from ``least`` to ``most``; none as above."""
    whole = value if isinstance(value, int) and not isinstance(value, bool) else None
    if (value is None and none) or (whole is not None and least <= whole <= most):
        return
    is_too_large = whole is not None and whole > most
    allowed = f"{least} to {most:,}" if most < NUMBER_MAX or is_too_large else f"{least} or more"
    raise InvalidOption(f"{name}={_shown(value)} must be {allowed}" + f"; None is {none}" * bool(none))


def _shown(value: object) -> str:
    try:
        return f"{value!r:.100}"
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
