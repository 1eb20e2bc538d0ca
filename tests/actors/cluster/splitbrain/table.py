"""Reads tests/data/cluster/splitbrain.txt; its notation is explained there."""

from pathlib import Path

import msgspec

from trouper.actors.cluster.splitbrain.strategies import Strategy
from trouper.actors.cluster.splitbrain.view import PartitionMember, PartitionView

TABLE = Path(__file__).parents[3] / "data" / "cluster" / "splitbrain.txt"
LISTS = ("down", "denied")


class Expectation(msgspec.Struct, frozen=True):
    """One line of the table: a side, what it sees and what it must decide."""

    case: str
    line: int
    strategy: Strategy
    view: PartitionView
    result: dict[str, str]


def read() -> list[Expectation]:
    """Return all that the table expects, one entry for each side of each `from`."""
    people: dict[str, PartitionMember] = {}
    found: list[Expectation] = []
    case, strategy, sides, quarrel = "", "", "", ""
    for number, text in enumerate(TABLE.read_text("utf-8").splitlines(), 1):
        verb, _, rest = text.partition(" ")
        match verb:
            case "" | "#":
                pass
            case "member":
                name, *options = rest.split()
                given = _options(options)
                roles = frozenset(given["roles"].split(",")) if "roles" in given else frozenset[str]()
                people[name] = PartitionMember(name, "up", int(given["up_number"]), roles)
            case "case":
                case, quarrel = rest, "-"
            case "strategy":
                strategy = rest
            case "split":
                sides = rest
            case "quarrel":
                quarrel = rest
            case "from":
                who, *result = rest.split()
                split = [_side(side, people) for side in sides.split(" | ")]
                for index, _ in enumerate(split, 1):
                    if who in (str(index), "each"):
                        view = _view(split, index - 1, quarrel)
                        found.append(Expectation(case, number, strategy_of(strategy), view, _options(result)))
            case _:
                raise AssertionError(f"{TABLE.name}:{number}: {text}")
    return found


def strategy_of(text: str) -> Strategy:
    """Return the strategy that a line describes, by its name and options."""
    name, *options = text.split()
    given: dict[str, object] = {"type": name}
    for key, value in _options(options).items():
        given[key] = value == "yes" if value in ("yes", "no") else value
    found: Strategy = msgspec.convert(given, type=Strategy, strict=False)
    return found


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=") for word in words)


def _side(text: str, people: dict[str, PartitionMember]) -> list[PartitionMember]:
    side: list[PartitionMember] = []
    for word in text.split():
        name, _, status = word.partition(":")
        side.append(
            msgspec.convert({**msgspec.to_builtins(people[name]), "status": status or "up"}, type=PartitionMember)
        )
    return side


def _view(sides: list[list[PartitionMember]], own: int, quarrel: str) -> PartitionView:
    here = sides[own]
    others = [member for index, side in enumerate(sides) if index != own for member in side]
    pairs = {(here[0].name, member.name) for member in others}
    if quarrel != "-":
        pairs |= {(pair[0], pair[2]) for pair in quarrel.split()}
    return PartitionView(tuple(here + others), frozenset(pairs))
