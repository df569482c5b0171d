"""Versions of the libraries that the words depend on."""

from __future__ import annotations

from importlib.metadata import version

# A new version of any of these may give other words for the same question.
_LIBRARIES = (
    "talkmill",
    "av",
    "ctranslate2",
    "faster-whisper",
    "numpy",
    "onnxruntime",
    "tokenizers",
)


def library_versions() -> str:
    """Return the versions of the libraries that the words depend on."""
    return " ".join(f"{name}={version(name)}" for name in _LIBRARIES)
