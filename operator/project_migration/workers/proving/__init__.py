"""The parts of ``manifest``. See the module of that name for how they work together."""
