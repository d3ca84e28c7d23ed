"""The parts of ``copy_tree``. See the module of that name for how they work together."""
