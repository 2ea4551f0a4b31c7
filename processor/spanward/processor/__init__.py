"""Processors: the policy that governs every span, and the components that put it into a pipeline."""
