"""Verb 5: from a proven overlay to an appliance that others can use."""
