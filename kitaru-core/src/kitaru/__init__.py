"""Kitaru: durable execution for Python agents."""
