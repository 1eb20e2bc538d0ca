"""Reads the test vectors in ``tests/data/wire``: frames in hex, with what they mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data" / "wire"


@dataclass
class Vector:
    """One frame: its buffers, and the other lines by their first word."""

    name: str
    buffers: list[bytes] = field(default_factory=list[bytes])
    lines: dict[str, str] = field(default_factory=dict[str, str])


def read_vectors(file: str) -> list[Vector]:
    """Return the vectors of a file of that folder, in order."""
    vectors: list[Vector] = []
    for raw in (FOLDER / file).read_text("utf-8").splitlines():
        if raw.startswith(("means", "body", "fault")):
            word, _, rest = raw.partition(" ")
            vectors[-1].lines[word] = rest
            continue
        line = raw.partition("#")[0].strip()
        if line.startswith("frame "):
            vectors.append(Vector(line.removeprefix("frame ")))
        elif line == "buffer":
            vectors[-1].buffers.append(b"")
        elif line:
            vectors[-1].buffers[-1] += bytes.fromhex(line)
    return vectors
