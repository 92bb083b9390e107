"""The pages: overview, room, sign-in, pairing and door panel. Their words are in `templates/` and `features/words.py`."""
