"""The wire contract: `transcription.proto` and the stubs generated from it."""
