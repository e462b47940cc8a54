"""Packages written anew around disks: descriptors, signatures, other forms."""
