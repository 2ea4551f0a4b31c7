"""Finding personal data and secrets in text and in keys, and taking them out."""
