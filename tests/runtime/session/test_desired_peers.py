from trouper.runtime.session.desired_peers import DesiredPeers


def test_a_wish_for_once_comes_true_and_one_for_good_stays() -> None:
    """When a link to the node is up, only what was wished for until it is dropped is still wished for."""
    desired_peers = DesiredPeers()
    desired_peers.add("x://1", once=True)
    desired_peers.add("x://2", once=False)
    for endpoint in ("x://1", "x://2"):
        desired_peers.found(endpoint, "b")
    desired_peers.is_up("b")
    assert (len(desired_peers), "x://1" in desired_peers, desired_peers.endpoints("b")) == (1, False, ["x://2"])
    assert desired_peers.wants_for_good("b")


def test_a_wish_for_good_is_the_stronger_one() -> None:
    """Whoever is wished for both ways is wished for for good, whatever was said first."""
    desired_peers = DesiredPeers()
    desired_peers.add("x://1", once=True)
    desired_peers.add("x://1", once=False)
    desired_peers.add("x://1", once=True)
    desired_peers.found("x://1", "b")
    desired_peers.is_up("b")
    assert desired_peers.drop("x://1") == "b"
    assert len(desired_peers) == 0


def test_what_was_never_wished_for_is_found_by_nobody() -> None:
    """To find, or to drop, an endpoint that nobody wishes for does nothing."""
    desired_peers = DesiredPeers()
    desired_peers.found("x://1", "b")
    assert desired_peers.drop("x://1") is None
    assert desired_peers.endpoints("b") == []
    assert not desired_peers.wants_for_good("b")


def test_wishes_end_with_the_node_or_all_together() -> None:
    """``drop_node`` ends those that led to one node, ``clear`` all."""
    desired_peers = DesiredPeers()
    for number in range(3):
        desired_peers.add(f"x://{number}", once=False)
    desired_peers.found("x://0", "b")
    desired_peers.drop_node("b")
    assert len(desired_peers) == 2
    desired_peers.clear()
    assert len(desired_peers) == 0
