from trouper.runtime.wire import framing
from trouper.runtime.wire.framing import Greeting
from trouper.runtime.wire.greeter import LocalNode
from trouper.runtime.wire.refusals import Refusals
from trouper.runtime.wire.settings import LinkSettings
from trouper.runtime.wire.transport import Source

SOURCE = Source(b"x")
LOCAL = LocalNode("a", 5, "x://a")


def _greeting(node: str, incarnation: int = 1, endpoint: str = "x://z", versions: tuple[int, int] = (1, 1)) -> Greeting:
    low, high = versions
    return Greeting(node, incarnation, endpoint, 9, 1_000, protocol_min=low, protocol_max=high, attempt=1)


def test_each_objection_has_its_code_and_its_words() -> None:
    """Oneself, a namesake, another version, a node that closes, and who is not admitted."""
    refusals = Refusals(LOCAL, LinkSettings(), lambda greeting, source: "no" if greeting.node == "d" else None)
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
    refusals = Refusals(LOCAL, LinkSettings(greet_first_s=0.1), None)
    told = [refusals.tell(_greeting("b"), "full", "no room", at) for at in (1.0, 1.05, 1.1)]
    assert [len(effects) for effects in told] == [1, 0, 1]
    frame = framing.parse(told[0][0].parts, 1_000)
    assert (frame.session, framing.read_refusal(frame)) == (9, framing.Refusal("a", "full", "no room"))


def test_what_is_remembered_of_the_refused_is_bounded() -> None:
    """Greetings from ever new endpoints make no table grow."""
    refusals = Refusals(LOCAL, LinkSettings(peers_max=10), None)
    for number in range(1_000):
        assert refusals.tell(_greeting("b", endpoint=f"x://{number}"), "full", "no room", 1.0)
    assert len(vars(refusals)["_told_at"]) <= 10
