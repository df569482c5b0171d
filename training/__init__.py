"""The demo model's recipe: speech synthesis, training, export and evaluation."""
