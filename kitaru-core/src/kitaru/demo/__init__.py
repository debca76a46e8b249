"""The flow behind ``kitaru demo``, and the command that kills and continues it."""
