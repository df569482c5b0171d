"""The HTTP interface: the Hugging Face schema, the OpenAI schema, health and metrics."""
