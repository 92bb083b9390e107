"""The simulation: hub and sandbox in one process, under virtual time, in an order drawn from a seed."""
