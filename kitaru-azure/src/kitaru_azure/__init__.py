"""Kitaru on Microsoft Azure."""
