"""Shares: which routee of a pool runs at which place (PURE).

Laws of this file:
1. Two places differ by one routee at most.
2. A routee moves only when its place is no longer one, or has more than its share.
3. The same routees, places and present assignment give the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(routees: Sequence[str], places: Sequence[str], present: Mapping[str, str]) -> dict[str, str]:
    """Return the place of each routee, by name.

    places: without repetitions, at least one.  present: where the routees are now; one that is missing is nowhere yet.
    """
    at: dict[str, list[str]] = {place: [] for place in places}
    for routee in routees:
        if present.get(routee) in at:
            at[present[routee]].append(routee)
    share, more = divmod(len(routees), len(at))
    assigned: dict[str, str] = {}
    room: list[str] = []
    for number, place in enumerate(sorted(at, key=lambda place: -len(at[place]))):  # the fullest keep the extra ones
        most = share + (number < more)
        assigned.update(dict.fromkeys(at[place][:most], place))
        room += [place] * (most - len(at[place]))
    places_left = iter(room)
    return {routee: assigned.get(routee) or next(places_left) for routee in routees}
