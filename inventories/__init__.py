"""What exists: the city's records, its address plan and its topology. Pure data, pure functions."""
