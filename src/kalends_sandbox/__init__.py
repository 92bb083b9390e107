"""Simulated calendar systems on loopback: real servers over one shared world. Imports nothing of the hub."""
