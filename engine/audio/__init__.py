"""Audio bytes to the features that the model takes: decode, find speech, cut, log-mel."""
