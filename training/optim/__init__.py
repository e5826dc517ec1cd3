"""Optimizers, the learning-rate schedule, and the guard against a collapsing loss."""
