"""``RoundTripEstimate``: how long the peer takes to answer, as far as is known (PURE).

The estimate of RFC 6298: a smoothed mean, and a smoothed deviation from it.
"""

from __future__ import annotations

from .settings import SessionSettings


class RoundTripEstimate:
    """See the top of the file.

    timeout_s: what was asked for and has not come within so many seconds is lost, more likely than not.
    probe_s: an acknowledgement that has not come within so many seconds is.
    """

    __slots__ = ("_deviation_s", "_mean_s", "_settings", "probe_s", "timeout_s")

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._mean_s = self._deviation_s = 0.0
        self.timeout_s, self.probe_s = settings.resend_again_s, settings.probe_after_s

    def sample(self, seconds: float) -> None:
        """Something was answered after so long, and it is sure which question the answer was for."""
        if self._mean_s == 0.0:
            self._mean_s, self._deviation_s = seconds, seconds / 2
        else:
            self._deviation_s += (abs(seconds - self._mean_s) - self._deviation_s) / 4
            self._mean_s += (seconds - self._mean_s) / 8
        settings = self._settings
        timeout_s = self._mean_s + 4 * self._deviation_s
        self.timeout_s = min(max(timeout_s, settings.resend_least_s), settings.ping_after_s)
        self.probe_s = min(2 * (self.timeout_s + settings.ack_delay_s), settings.probe_after_s)
