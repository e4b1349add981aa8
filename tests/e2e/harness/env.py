"""Where things are and how patient to be, taken from the environment once."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("PAWL", REPOSITORY / "build" / "pawl")).resolve()
TOOLS = Path(os.environ.get("PAWL_TOOLS", BINARY.parent / "tests" / "tools")).resolve()

# The sanitizer build is several times slower, and its memory says nothing.
SANITIZED = os.environ.get("PAWL_SAN", "") not in ("", "0")
PATIENCE = 4 if SANITIZED else 1

# How long the scripted day lasts; 0 is its short form.  The seed repeats a day.
SOAK_SECONDS = int(os.environ.get("SOAK_SECONDS") or 0)
SOAK_SEED = os.environ.get("SOAK_SEED") or None

# How long one test may take before it is failed instead of waited for.
TEST_SECONDS = 120 * PATIENCE + 2 * SOAK_SECONDS
# How long a single read or write of a client or backend may take.
SOCKET_SECONDS = 20 * PATIENCE
