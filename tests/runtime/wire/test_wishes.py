from trouper.runtime.wire.wishes import Wishes


def test_a_wish_for_once_comes_true_and_one_for_good_stays() -> None:
    """When a link to the node is up, only what was wished for until it is dropped is still wished for."""
    wishes = Wishes()
    wishes.add("x://1", once=True)
    wishes.add("x://2", once=False)
    for endpoint in ("x://1", "x://2"):
        wishes.found(endpoint, "b")
    wishes.is_up("b")
    assert (len(wishes), "x://1" in wishes, wishes.endpoints("b")) == (1, False, ["x://2"])
    assert wishes.wants_for_good("b")


def test_a_wish_for_good_is_the_stronger_one() -> None:
    """Whoever is wished for both ways is wished for for good, whatever was said first."""
    wishes = Wishes()
    wishes.add("x://1", once=True)
    wishes.add("x://1", once=False)
    wishes.add("x://1", once=True)
    wishes.found("x://1", "b")
    wishes.is_up("b")
    assert wishes.drop("x://1") == "b"
    assert len(wishes) == 0


def test_what_was_never_wished_for_is_found_by_nobody() -> None:
    """To find, or to drop, an endpoint that nobody wishes for does nothing."""
    wishes = Wishes()
    wishes.found("x://1", "b")
    assert wishes.drop("x://1") is None
    assert wishes.endpoints("b") == []
    assert not wishes.wants_for_good("b")


def test_wishes_end_with_the_node_or_all_together() -> None:
    """``drop_node`` ends those that led to one node, ``clear`` all."""
    wishes = Wishes()
    for number in range(3):
        wishes.add(f"x://{number}", once=False)
    wishes.found("x://0", "b")
    wishes.drop_node("b")
    assert len(wishes) == 2
    wishes.clear()
    assert len(wishes) == 0
