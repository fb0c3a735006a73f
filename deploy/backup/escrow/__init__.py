"""The recovery kit: all that a restore needs, encrypted, for a machine that knows nothing else of the city."""
