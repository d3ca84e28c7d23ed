"""Properties are tried on the same examples every time, so that a change is judged by itself.

``HYPOTHESIS_PROFILE=explore`` looks for new ones, twenty times as many, with a seed that pytest prints.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=300)
settings.register_profile("explore", deadline=None, max_examples=6_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
