"""The peer transformers."""
