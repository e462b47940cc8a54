"""Builds genuinely outdated Debian appliances, and shows the whole trip on one of them."""
