"""JSON schemas of the options that both HTTP schemas have."""

from __future__ import annotations

from typing import Any

from ...engine import EncoderWindow, VadMode

_MEANINGS = {
    "language": 'Code or English name; "multi" detects that of each chunk. Default: detected.',
    "languages": "Languages that detection chooses from. Default: all.",
    "prompt": "Text that precedes the audio.",
    "hotwords": "Words and names that are likely to occur.",
}
_LISTS = ("languages", "hotwords")


def shared_options() -> dict[str, Any]:
    """Return the JSON schema of each option."""
    text = {"type": "string"}
    return {
        **{
            name: {
                **({"type": "array", "items": text} if name in _LISTS else text),
                "description": meaning,
            }
            for name, meaning in _MEANINGS.items()
        },
        "vad": {"enum": [mode.value for mode in VadMode]},
        "encoder_window": {"enum": [kind.value for kind in EncoderWindow]},
    }
