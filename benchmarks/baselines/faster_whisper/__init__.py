"""The peer faster-whisper."""
