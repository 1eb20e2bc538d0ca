"""The membership as a whole, by transcripts: a scenario in, the published events out."""

import os
import random
from math import inf
from pathlib import Path

import pytest

from tests.actors.cluster.membership.stage import Stage
from trouper.actors.cluster.membership import Accusation, Member, Membership, Send, SwimSettings
from trouper.actors.cluster.membership.packets import Ack, Ping
from trouper.runtime.kernel.errors import InvalidOption

FOLDER = Path("tests/data/cluster/membership")


def _play(script: str) -> str:
    stage = Stage()
    pieces: list[str] = []
    for piece in script.strip().split("\n\n"):
        commands = piece.partition("\n----")[0]
        lines = [line for line in commands.splitlines() if line and not line.startswith("#")]
        for line in lines:
            stage.perform(line)
        pieces.append("\n".join([commands, *(["----", *stage.told] if lines else [])]))
        stage.told.clear()
    return "\n\n".join(pieces) + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_transcript_holds(path: Path) -> None:
    """Each scenario in tests/data/cluster/membership gives exactly the events written below its commands.

    With TROUPER_REWRITE=1 in the environment the files are written anew, to be read as a difference.
    """
    script = path.read_text("utf-8")
    played = _play(script)
    if os.environ.get("TROUPER_REWRITE") == "1":
        path.write_text(played, "utf-8")
    assert played == script


def test_the_transcripts_are_found() -> None:
    """None of them holds because there is none."""
    assert len(list(FOLDER.glob("*.txt"))) >= 10


def _alone(settings: SwimSettings | None = None) -> Membership:
    chance = random.Random(1).random
    node = Membership(Member("a", "x", 1), cluster="c", settings=settings or SwimSettings(), chance=chance)
    node.start(0.0)
    return node


def test_metadata_over_its_limit_is_refused_with_limit_and_size() -> None:
    """At the making and at an update, naming both numbers."""
    node = _alone(SwimSettings(metadata_bytes_max=100))
    with pytest.raises(InvalidOption, match=r"a: metadata of 101 bytes is over metadata_bytes_max=100"):
        node.update(b"m" * 101, 1.0)
    with pytest.raises(InvalidOption, match="metadata of 513 bytes"):
        Membership(Member("a", "x", 1, metadata=b"m" * 513), cluster="c", settings=SwimSettings(), chance=float)
    assert node.me.metadata == b""


@pytest.mark.parametrize(("name", "endpoint", "cluster"), [("", "x", "c"), ("a", "x" * 256, "c"), ("a", "x", "")])
def test_names_have_limits(name: str, endpoint: str, cluster: str) -> None:
    """Names, endpoints and clusters have 1 to 255 bytes."""
    with pytest.raises(InvalidOption, match="must have 1 to 255 bytes"):
        Membership(Member(name, endpoint, 1), cluster=cluster, settings=SwimSettings(), chance=float)


def test_a_node_alone_is_a_cluster_and_leaves_at_once() -> None:
    """Without seeds it is joined; its leave has nobody to tell."""
    node = _alone()
    assert (node.is_joined, node.present, [member.name for member in node.members()]) == (True, 1, ["a"])
    node.leave(1.0)
    assert node.is_over
    assert node.wake_at == inf
    assert node.tick(9.0) == node.receive(Ping("c", "b", "y", "a", 1), 9.0) == []


def test_a_ping_for_somebody_else_is_not_answered() -> None:
    """An endpoint may have passed to another node."""
    node = _alone()
    assert node.receive(Ping("c", "b", "y", "z", 1), 0.1) == []
    [answer] = node.receive(Ping("c", "b", "y", "a", 1), 0.1)
    assert isinstance(answer, Send)
    assert answer.to == "y"


def test_the_answer_of_a_suspect_carries_its_incarnation() -> None:
    """Also when the accusation is an old one that was refuted long ago and is news to nobody else."""
    node = _alone()
    for incarnation in (0, 0, 1, 0):
        ping = Ping("c", "b", "y", "a", 1, (Accusation("a", 1, incarnation, "b"),))
        [answer] = [e.packet for e in node.receive(ping, 0.1) if isinstance(e, Send)]
        assert isinstance(answer, Ack)
        assert answer.updates == (node.me,)
        assert node.me.incarnation > incarnation


def test_suspicion_of_an_unknown_member_is_full() -> None:
    """Of this node itself it is nothing."""
    node = _alone()
    assert (node.suspicion("a"), node.suspicion("nobody")) == (0.0, 1.0)
