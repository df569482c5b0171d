"""Which heads of the decoder's attention words are aligned with: the model's own, or a default.

A converted model lists those that follow the speech best. CTranslate2 aligns only with such a list,
and reads it from `config.json` when it loads a model.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .files import read_config
from .weights import Weights, num_decoder_layers, read_weights

_CONFIG = "config.json"
_FIELD = "alignment_heads"


def has_alignment_heads(folder: Path) -> bool:
    """Return whether the model in `folder` lists the heads to align with."""
    return bool(read_config(folder).get(_FIELD))


@contextmanager
def with_alignment_heads(folder: Path) -> Iterator[Path]:
    """Yield a folder with the same model that lists heads: `folder` itself if it does.

    Else it is a temporary folder of links, whose list has the heads of the upper half of the
    layers: openai/whisper's default.
    """
    if has_alignment_heads(folder) or not (folder / "model.bin").is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="talkmill-") as name:
        complete = Path(name)
        for path in folder.iterdir():
            if path.name != _CONFIG:
                (complete / path.name).symlink_to(path.resolve())
        heads = default_heads(read_weights(folder / "model.bin"))
        config = {**read_config(folder), _FIELD: heads}
        (complete / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
        yield complete


def default_heads(weights: Weights) -> list[tuple[int, int]]:
    """Return (layer, head) of every head in the upper half of the decoder's layers."""
    num_layers, num_heads = num_decoder_layers(weights), int(weights["decoder/num_heads"])
    return [(i, j) for i in range(num_layers // 2, num_layers) for j in range(num_heads)]
