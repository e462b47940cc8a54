"""Verb 6: bring a generation into the instances of a group, at a convenient time."""
