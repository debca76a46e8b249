"""Kitaru on your own machine: artifact store, log store, orchestrator."""
