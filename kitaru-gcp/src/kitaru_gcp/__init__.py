"""Kitaru on Google Cloud."""
