"""What holds for every test: how hypothesis searches, here and under `make soak`."""

import os
import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import settings

# A deadline measures the machine, not the code, and these machines are shared.
settings.register_profile("quick", deadline=None, max_examples=100, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile("soak" if os.environ.get("TROUPER_SOAK") == "1" else "quick")


@pytest.fixture
def run_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], None]:
    """Make this module the program that the process runs; else it is what started pytest."""

    def set_program(module: ModuleType) -> None:
        monkeypatch.setattr("trouper.runtime.kernel.program._beside", None)
        monkeypatch.setitem(sys.modules, "__main__", module)

    return set_program
