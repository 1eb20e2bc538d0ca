from trouper.runtime.session import frames
from trouper.runtime.session.frames import Greeting
from trouper.runtime.session.handshake import LocalNode
from trouper.runtime.session.refusal_rules import RefusalRules
from trouper.runtime.session.settings import SessionSettings
from trouper.runtime.session.transport import Source

SOURCE = Source(b"x")
LOCAL = LocalNode("a", 5, "x://a")


def _greeting(node: str, generation: int = 1, endpoint: str = "x://z", versions: tuple[int, int] = (1, 1)) -> Greeting:
    low, high = versions
    return Greeting(node, generation, endpoint, 9, 1_000, protocol_min=low, protocol_max=high, attempt=1)


def test_each_objection_has_its_code_and_its_words() -> None:
    """Oneself, a namesake, another version, a node that closes, and who is not admitted."""
    refusals = RefusalRules(LOCAL, SessionSettings(), lambda greeting, source: "no" if greeting.node == "d" else None)
    greetings = [
        (_greeting("a", 5), False),
        (_greeting("a", 6), False),
        (_greeting("b", versions=(2, 3)), False),
        (_greeting("b"), True),
        (_greeting("d"), False),
        (_greeting("b"), False),
    ]
    assert [refusals.objection(greeting, SOURCE, closing=closing) for greeting, closing in greetings] == [
        ("itself", "a has dialled itself"),
        ("name_taken", "this node is called a too; give one of the two another name"),
        ("protocol", "b speaks the protocol versions 2 to 3, a 1 to 1: upgrade the older one"),
        ("closing", "a is shutting down"),
        ("not_admitted", "no"),
        None,
    ]


def test_an_endpoint_is_told_no_more_than_once_in_a_while() -> None:
    """Whoever greets without end is refused at the pace of greetings, and is told with its own token."""
    refusals = RefusalRules(LOCAL, SessionSettings(greet_first_s=0.1), None)
    told = [refusals.refuse(_greeting("b"), "full", "no room", at) for at in (1.0, 1.05, 1.1)]
    assert [len(effects) for effects in told] == [1, 0, 1]
    frame = frames.parse(told[0][0].parts, 1_000)
    assert (frame.session, frames.read_refusal(frame)) == (9, frames.Refusal("a", "full", "no room"))


def test_what_is_remembered_of_the_refused_is_bounded() -> None:
    """Greetings from ever new endpoints make no table grow."""
    refusals = RefusalRules(LOCAL, SessionSettings(peers_max=10), None)
    for number in range(1_000):
        assert refusals.refuse(_greeting("b", endpoint=f"x://{number}"), "full", "no room", 1.0)
    assert len(vars(refusals)["_refused_at"]) <= 10
