"""Verb 4: from a changed overlay to a Receipt."""
