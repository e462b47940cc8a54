"""Groups and their instances: one turn after the other."""
