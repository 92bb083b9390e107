"""The demonstration: a simulated Exchange as a second process, a hub over it, and one clock for both."""
