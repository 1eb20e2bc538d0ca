"""``OutputLines``: what a process writes, line by line, of bounded length and rate (PURE)."""

from __future__ import annotations

LAST_LINES_KEPT = 20
"""Last lines that are kept for the report on a process that died."""


class OutputLines:
    """Makes lines of the bytes of one stream.

    bytes_max: of a line; a longer one is given in parts.  per_s_max: lines that are given in a second, on average and
    at once; what is left out is counted, and said when there is room again.
    """

    def __init__(self, bytes_max: int, per_s_max: int) -> None:
        self._bytes_max, self._per_s_max = bytes_max, per_s_max
        self._buffer = bytearray()
        self._allowance, self._since = float(per_s_max), 0.0
        self._omitted = 0
        self.last: list[str] = []
        """The last lines, those that were left out among them."""

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take what came in; returns the lines to show.  now: in seconds."""
        self._buffer += data
        found: list[str] = []
        start = 0
        while True:
            end = self._buffer.find(b"\n", start)
            length = (len(self._buffer) if end < 0 else end) - start
            if length > self._bytes_max:
                found.append(self._text(start, start + self._bytes_max))
                start += self._bytes_max
            elif end >= 0:
                found.append(self._text(start, end))
                start = end + 1
            else:
                break
        del self._buffer[:start]
        return self._allowed(found, now)

    def end(self, now: float) -> list[str]:
        """The stream has ended: what it has not ended by a newline is a line too."""
        found = self._allowed([self._text(0, len(self._buffer))] if self._buffer else [], now)
        self._buffer.clear()
        if self._omitted:
            found.append(self._omitted_notice())
        return found

    def _text(self, start: int, end: int) -> str:
        return self._buffer[start:end].decode("utf-8", "backslashreplace").rstrip("\r")

    def _allowed(self, lines: list[str], now: float) -> list[str]:
        if not lines:
            return lines
        self.last = [*self.last, *lines][-LAST_LINES_KEPT:]
        self._allowance = min(float(self._per_s_max), self._allowance + (now - self._since) * self._per_s_max)
        self._since = now
        count = int(min(len(lines), self._allowance))
        self._allowance -= count
        shown = lines[:count]
        if shown and self._omitted:
            shown.insert(0, self._omitted_notice())
        self._omitted += len(lines) - count
        return shown

    def _omitted_notice(self) -> str:
        count, self._omitted = self._omitted, 0
        return f"[... {count} lines were left out: more than {self._per_s_max} a second]"
