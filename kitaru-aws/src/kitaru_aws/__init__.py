"""Kitaru on Amazon Web Services."""
