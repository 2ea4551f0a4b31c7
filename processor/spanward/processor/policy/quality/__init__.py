"""Quality rules: what a span must hold to be believed, and the score that comes of it."""
