"""From audio bytes to the model's features: decode, detect speech, split, log-mel."""
