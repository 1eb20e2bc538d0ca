"""``python -m tests.fuzz.wire``: what a fuzzer makes up, for the frames, the handshake, the links and the codec.

It needs ``pip install atheris``.  Options are libFuzzer's, such as ``-max_total_time=600``; without a folder among them
the corpus is ``tests/data/fuzz``, which is read, and a temporary folder, where what is found goes.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "data" / "fuzz"


def main() -> None:
    """Fuzz until told to stop."""
    try:
        atheris: Any = import_module("atheris")  # Any: it has no types
    except ImportError as error:
        raise SystemExit("the fuzzer is missing: pip install atheris") from error
    with atheris.instrument_imports(include=["trouper.runtime.session"]):
        from tests.fuzz.scene import Scene, parse_alone

    def target(data: bytes) -> None:
        parse_alone(data)
        Scene().play(data)

    arguments = sys.argv[1:]
    if all(argument.startswith("-") for argument in arguments):
        arguments += [tempfile.mkdtemp(prefix="fuzz-wire-"), str(CORPUS)]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
