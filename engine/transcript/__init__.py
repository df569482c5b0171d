"""Tokens of the model to the segments of the answer."""
