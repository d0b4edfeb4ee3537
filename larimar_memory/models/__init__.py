"""Model files: found, checked, converted."""
