from trouper.runtime.kernel.messages import tag_of
from trouper.runtime.remote.control import CONTROLS
from trouper.runtime.wire.codec import TAGS_FROM
from trouper.runtime.wire.schemas import fields_of


def test_control_messages_keep_their_numbers_and_fields() -> None:
    """Both ends take them for granted, so a change of any is another version of the protocol."""
    assert {number: (tag_of(type_), *fields_of(type_)) for number, type_ in enumerate(CONTROLS, TAGS_FROM)} == {
        2: (
            "trouper.Spawn", "actor: str", "args: Raw", "keywords: Raw", "name: str|None = ...",
            "shutdown_s: float|None = ...", "owner: ActorRef|None = ...", "shipped: bytes|None = ...",
        ),
        3: ("trouper.Find", "name: str"),
        4: ("trouper.Watch", "uid: int"),
        5: ("trouper.Ended", "uid: int", "reason: str", "error: str|None = ..."),
        6: ("trouper.End", "uid: int", "how: Ending"),
        7: ("trouper.Cancel", "correlation: int"),
        8: ("trouper.Pressure", "uid: int", "high: bool"),
        9: ("trouper.LinkedEnd", "uid: int", "ref: ActorRef", "reason: str", "error: str|None = ..."),
        10: ("trouper.ShareOffer", "host: str", "process: int", "probe: Segment"),
        11: ("trouper.ShareAccept",),
        12: ("trouper.Lend", "number: int", "segment: Segment", "buffer_bytes: int"),
        13: ("trouper.Return", "tokens: list[int]"),
        14: ("trouper.Retire", "tokens: list[int]"),
        15: ("trouper.Forget", "numbers: list[int]"),
    }  # fmt: skip
