"""One image made new: the trip of an update, and all that shares its guarantees."""
