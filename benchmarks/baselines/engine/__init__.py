"""talkmill's engine without gRPC."""
