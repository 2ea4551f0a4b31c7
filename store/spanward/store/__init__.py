"""What is kept and how: the intake log, the keyring, the lake, and reading them back."""
