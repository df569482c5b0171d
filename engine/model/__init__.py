"""Whisper itself: its files, its vocabulary, and the networks that compute it."""
