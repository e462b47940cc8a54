"""Verb 1: from a file tree to its Content."""
