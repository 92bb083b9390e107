"""What Kalends does with events once they are in step. Features read events and follow the feed; no SQL, no providers."""
