from trouper.runtime.kernel.message import tag_of
from trouper.runtime.net.control import CONTROLS
from trouper.runtime.session.codec import TAGS_FROM
from trouper.runtime.session.schemas import fields_of


def test_control_messages_keep_their_numbers_and_fields() -> None:
    """Both ends take them for granted, so a change of any is another version of the protocol."""
    assert {number: (tag_of(type_), *fields_of(type_)) for number, type_ in enumerate(CONTROLS, TAGS_FROM)} == {
        2: (
            "trouper.SpawnActor", "actor: str", "args: Raw", "keywords: Raw", "name: str|None = ...",
            "shutdown_s: Annotated[float,Meta(ge=0,le=SHUTDOWN_S_MAX)]|None = ...",
            "owner: ActorRef|None = ...", "shipped: bytes|None = ...",
            "mailbox: tuple[int,int,str,Annotated[float,Meta(gt=0)]|None]|None = ...",
            "resume: tuple[str,...]|None = ...",
            "executor: str|None = ...",
        ),
        3: ("trouper.FindActor", "name: str"),
        4: ("trouper.WatchActor", "uid: int"),
        5: ("trouper.WatchedActorEnded", "uid: int", "reason: str", "error: str|None = ..."),
        6: ("trouper.EndActor", "uid: int", "how: Ending"),
        7: ("trouper.CancelAsk", "correlation: int"),
        8: ("trouper.SetBackpressure", "uid: int", "high: bool"),
        9: ("trouper.LinkedActorEnded", "uid: int", "ref: ActorRef", "reason: str", "error: str|None = ..."),
        10: ("trouper.OfferSharedMemory", "host: str", "process: int", "probe: SegmentInfo"),
        11: ("trouper.AcceptSharedMemory",),
        12: ("trouper.LendSegment", "number: int", "segment: SegmentInfo", "buffer_bytes: int"),
        13: ("trouper.ReturnSegments", "tokens: list[int]"),
        14: ("trouper.RetireSegments", "tokens: list[int]"),
        15: ("trouper.DropBuffers", "numbers: list[int]"),
        16: ("trouper.MessageNotRead", "uid: int", "problem: str"),
        17: ("trouper.MessagesSettled", "count: Annotated[int,Meta(ge=0)]"),
    }  # fmt: skip
