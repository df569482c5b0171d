"""The HTTP door: the Hugging Face schema, the OpenAI schema, health and metrics."""
