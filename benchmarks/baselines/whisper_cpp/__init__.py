"""The peer whisper.cpp."""
