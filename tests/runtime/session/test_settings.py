import re

import pytest

from trouper.runtime.kernel.errors import InvalidOption
from trouper.runtime.session.settings import SessionSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_bytes_max": 511}, "frame_bytes_max=511 must be 512 or more and below 2**31"),
        ({"window_bytes": 1_000}, "window_bytes=1000 must hold a frame: frame_bytes_max=1048576 or more"),
        ({"ping_after_s": 10.0}, "ping_after_s=10.0 must be below peer_timeout_s=10.0"),
    ],
)
def test_a_setting_outside_of_its_range_is_refused(options: dict[str, float], message: str) -> None:
    """The error names the setting, the value and the range."""
    with pytest.raises(InvalidOption, match=f"^{re.escape(message)}$"):
        SessionSettings(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the values are wrong


@pytest.mark.parametrize(
    "options",
    [
        {"window_frames": 0},
        {"ack_frames": 0},
        {"peers_max": 0},
        {"ack_bytes": 5_000_000},
        {"ack_frames": 10_001},
        {"greet_first_s": 0.0},
        {"greet_first_s": 6.0},
        {"jitter": 1.0},
        {"linger_s": 0.0},
        {"give_up_s": -1.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(options: dict[str, float]) -> None:
    """No setting can make a link that stands still or never waits."""
    with pytest.raises(InvalidOption, match=next(iter(options))):
        SessionSettings(**options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  the values are wrong


def test_pauses_between_greetings_double_up_to_the_longest() -> None:
    """0.1 s, 0.2 s, ... up to 5 s, each up to a fifth more or less."""
    settings = SessionSettings()
    assert [settings.greet_pause_s(tries, 0.5) for tries in (1, 2, 3, 10, 10_000)] == [0.1, 0.2, 0.4, 5.0, 5.0]
    assert settings.greet_pause_s(1, 0.0) == pytest.approx(0.08)
    assert settings.greet_pause_s(1, 1.0) == pytest.approx(0.12)


def test_a_handshake_lasts_as_long_as_the_other_side_would_wait() -> None:
    """Who was answered and hears nothing more keeps the session for the time-out and until it gives up."""
    assert SessionSettings(peer_timeout_s=7.0, give_up_s=11.0).handshake_s == 18.0
