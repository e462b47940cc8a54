"""Verb 3: from a Plan and a disk to a changed overlay."""
