"""``OutputLines``: splits the output of a process into lines, of bounded length and rate (PURE)."""

from __future__ import annotations

LAST_LINES_KEPT = 20
"""How many of the last lines are kept for the report on a process that died."""


class OutputLines:
    """Splits the bytes of one stream into lines.

    bytes_max: of a line; a longer one is split.  per_s_max: the most lines in a second, on average and at once; lines
    above it are omitted and counted, and a notice with the count comes before the next line.
    """

    def __init__(self, bytes_max: int, per_s_max: int) -> None:
        self._bytes_max, self._per_s_max = bytes_max, per_s_max
        self._buffer = bytearray()
        self._allowance, self._since = float(per_s_max), 0.0
        self._omitted = 0
        self.last: list[str] = []
        """The last lines, the omitted ones included."""

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take bytes of the stream; returns the lines to show.  now: in seconds."""
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
        """Take the end of the stream; returns the lines to show, a last one without a newline included."""
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
        return f"[... {count} lines omitted: more than {self._per_s_max} a second]"
