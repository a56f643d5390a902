"""Attacks on both walls with figures: `python -m evals.security`."""
