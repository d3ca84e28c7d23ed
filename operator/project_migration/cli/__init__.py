"""The second front door: the same engine for a person at a terminal."""
