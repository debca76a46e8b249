"""Acme's plugin for Kitaru."""
