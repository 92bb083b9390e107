"""Where providers meet the store: the only folder that imports both. See `worker` for how a turn runs."""
