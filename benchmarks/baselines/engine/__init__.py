"""talkmill without gRPC."""
