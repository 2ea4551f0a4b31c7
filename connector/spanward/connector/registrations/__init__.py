"""The `registrations` connector: registration spans become compliance records."""
