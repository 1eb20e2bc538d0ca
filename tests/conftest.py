"""What holds for every test: how hypothesis searches, here and under `make soak`."""

import os

from hypothesis import settings

# A deadline measures the machine, not the code, and these machines are shared.
settings.register_profile("quick", deadline=None, max_examples=100, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=5_000, print_blob=True)
settings.load_profile("soak" if os.environ.get("TROUPER_SOAK") == "1" else "quick")
