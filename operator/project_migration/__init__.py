"""Moves machine-learning projects from one platform installation to another, and proves that they arrived."""

__version__ = "0.1.0"
