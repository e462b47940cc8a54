"""The steps of the catalogue, in the order that their `down_revision` gives."""
