"""The domain: frozen values and pure functions. No I/O, no clock, and nothing of ours is imported here."""
