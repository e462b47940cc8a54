"""The virtual appliance on disk: envelope, content descriptor, manifest, archive."""
