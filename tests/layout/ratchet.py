"""Known violations of the layout rules: a rule that the whole repository does not follow yet lists them, with counts.

`known.json` holds, for each rule, keys such as `trouper.runtime.node -> trouper.actors.cluster` and how often each
occurs.  A test fails for a key that is not listed, and for one that occurs more often than listed.  Counts may only
shrink: `python -m tests.layout.ratchet` writes the present counts where they are smaller, and removes what is gone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import rules

KNOWN = Path(__file__).with_name("known.json")

Found = Mapping[str, Sequence[str]]
"""The violations of one rule: under each key, a line for each of them."""


def known(path: Path = KNOWN) -> dict[str, dict[str, int]]:
    """The listed violations: the counts by key, by the name of the rule."""
    listed: dict[str, dict[str, int]] = json.loads(path.read_text("utf-8"))
    return listed


def excess(found: Found, listed: Mapping[str, int]) -> list[str]:
    """The violations under each key that occurs more often than it is listed, with the two numbers before them."""
    lines: list[str] = []
    for key, each in found.items():
        if len(each) > listed.get(key, 0):
            lines += [f"{key}: {len(each)} times, and {listed.get(key, 0)} are known:", *(f"    {one}" for one in each)]
    return lines


def shrunk(found: Mapping[str, Found], listed: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The list with each count lowered to what was found; keys that were not found are left out."""
    lowered = {
        rule: {key: min(count, len(found[rule].get(key, ()))) for key, count in counts.items()}
        for rule, counts in listed.items()
    }
    return {rule: {key: count for key, count in counts.items() if count} for rule, counts in lowered.items()}


def write(listed: Mapping[str, Mapping[str, int]], path: Path = KNOWN) -> None:
    """Write the list, one key a line."""
    path.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    write(shrunk(rules.counted(), known()))
