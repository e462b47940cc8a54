"""Which weaknesses are known, and which releases fix them, as publishers of advisories say."""
