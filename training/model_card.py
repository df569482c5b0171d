"""Writes the model card: architecture, training data, figures and limits."""

from pathlib import Path

import torch

from training.evaluate import Figure, format_table

_CARD = """\
---
language: en
license: cc-by-sa-4.0
library_name: ctranslate2
tags: [automatic-speech-recognition, whisper, demo]
---
# talkmill demo model

A speech recognition model of Whisper's architecture, small enough to travel with the code: it
shows a working engine on any machine. It is not a general recogniser: for real speech, use a
real Whisper model.

| | |
|---|---|
| Architecture | Whisper, 4.6 million parameters: width 192, 3 heads, 4 + 3 layers |
| Weights | CTranslate2, int8, 5.8 MB; the recipe also writes a float32 Hugging Face folder |
| Input | 16 kHz mono, 80 log-mel bands, windows of 5 s; 10, 20 and 30 s work less well |
| Output | English, lower case, numbers in words, no punctuation but the apostrophe; segment times |
| Tokens | 1,024 byte-level BPE tokens, Whisper's special tokens, 1,501 timestamps |
| Tasks | transcribe; the translate token exists but was never trained |

## Data
- Synthetic speech: 32,000 utterances, 17.6 hours, by espeak-ng (24 voices of five accents,
  110 to 230 words a minute, pitch 20 to 80) and flite (kal16, awb, rms, slt at 0.75 to 1.25 of
  their length). The sentences come from a phrase grammar over about 1,160 words: digits, numbers,
  times, dates, money, names, cities, commands, everyday sentences and random words.
- Human speech: the Free Spoken Digit Dataset (FSDD) by Zohar Jackson and contributors,
  CC-BY-SA-4.0: six speakers' single digits, joined into strings of one to eight. Its official
  test split (indexes 0 to 4) was kept out.
- Noise, hum, clicks, tones and digital silence, all computed.
- Added to the speech: levels, noise, rate, telephone bands, light reverberation, pauses and
  padding of both usual kinds (zeros in the audio, zeros in the features).

## Training
{training}

## Licence
The weights are under CC-BY-SA-4.0, because FSDD is. The recipe's code is under the project's own
licence.

## Figures
Measured through talkmill's engine with its default settings: int8, greedy, windows of 5 s as the
model declares; without voice activity detection where nobody speaks. "sentences" leaves out the
random words, which are no part of the domain. Sentences and speaking rates are held out from
training, voices are not (except "unseen voices"). "WER with timestamps" is the same audio decoded
with timestamp tokens. Human digits are FSDD's test split, by speakers that training heard saying
other recordings.

{table}

## Limits
- It knows the voices of two synthesisers and the digits of six people. Other people's speech, and
  words outside its list, come out as wrong words of its list.
- Homophones (to, too, two; their, there) are told apart by the grammar's habits alone.
- Probabilities, the no-speech probability included, were not calibrated.
- The alignment heads for word times were not chosen by measurement.
"""


def write_model_card(folder: Path, figures: list[Figure], training: str) -> None:
    """Write MODEL_CARD.md into a model folder.

    Args:
        folder: The exported model.
        figures: Its result table.
        training: How long it was trained, and from what start, as a sentence.
    """
    card = _CARD.format(table=format_table(figures), training=training)
    (folder / "MODEL_CARD.md").write_text(card)


def describe_training(checkpoint: Path, is_warm_start: bool) -> str:
    """Return a sentence with the steps, minutes and start of a checkpoint's training."""
    state = torch.load(checkpoint, weights_only=True)
    start = (
        "the weights of an earlier model of the same sizes, trained on synthetic speech of the "
        "same synthesisers"
        if is_warm_start
        else "random weights"
    )
    return f"{state['step']:,} steps, {state['elapsed_s'] / 60:.0f} minutes on a CPU, from {start}."
