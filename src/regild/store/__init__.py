"""The store: a catalogue of images, generations, channels, groups, jobs and events, and the bytes
of every generation under their digests."""

from regild.store.catalogue import Catalogue, Reading, Writing, open_catalogue

__all__ = ["Catalogue", "Reading", "Writing", "open_catalogue"]
