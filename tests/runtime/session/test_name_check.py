from trouper.runtime.session.name_check import NameCheck
from trouper.runtime.session.settings import SessionSettings

SETTINGS = SessionSettings(name_check_s=1.0, greet_max_s=5.0)


def test_a_peer_that_says_anything_is_alive() -> None:
    """One frame since the doubt began is enough."""
    name_check = NameCheck(SETTINGS)
    assert [name_check.look(7, 1.0), name_check.look(7, 1.5), name_check.look(8, 1.6)] == ["ask", "asked", "alive"]


def test_a_peer_that_says_nothing_is_silent_in_the_end() -> None:
    """After ``name_check_s`` silence is an answer."""
    name_check = NameCheck(SETTINGS)
    assert [name_check.look(7, 1.0), name_check.look(7, 1.9), name_check.look(7, 2.0)] == ["ask", "asked", "silent"]


def test_an_old_doubt_is_forgotten() -> None:
    """What was heard since a doubt of long ago settles no new one."""
    name_check = NameCheck(SETTINGS)
    assert [name_check.look(7, 1.0), name_check.look(9, 13.0)] == ["ask", "ask"]
