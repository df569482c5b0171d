"""Exports a checkpoint as a Hugging Face folder and as a CTranslate2 folder with int8 weights."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from ctranslate2.converters import TransformersConverter
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from training.features import NUM_MELS
from training.model import ModelShape
from training.tokens import (
    LANGUAGES,
    TIMESTAMP_STEP_S,
    SpeechTokenizer,
    load_tokenizer,
)

MAX_MODEL_BYTES = 8_000_000
MAX_INITIAL_TIMESTAMP_S = 1.0  # as in Whisper
DECLARED_WINDOWS_S = (5.0,)  # the length of most training windows; longer ones work less well
# (decoder layer, head) pairs for word times: assumed to follow the audio, not measured.
ALIGNMENT_HEADS = ((2, 0), (2, 1), (2, 2))


def export_checkpoint(
    checkpoint: Path, tokenizer_path: Path, hf_folder: Path, folder: Path
) -> None:
    """Write the averaged weights of a checkpoint in both formats.

    Args:
        checkpoint: The file that `train` wrote.
        tokenizer_path: The tokenizer.json that it was trained with.
        hf_folder: Receives the Hugging Face checkpoint, float32.
        folder: Receives the CTranslate2 model, int8, and the files that faster-whisper reads.
    """
    tokenizer = load_tokenizer(tokenizer_path)
    _write_hf(checkpoint, tokenizer, hf_folder)
    converter = TransformersConverter(
        str(hf_folder), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(folder), quantization="int8", force=True)
    shutil.copy(hf_folder / "generation_config.json", folder)
    _mark_multilingual(folder, tokenizer)
    _declare(folder)
    size_bytes = (folder / "model.bin").stat().st_size
    if size_bytes > MAX_MODEL_BYTES:
        raise ValueError(f"model.bin has {size_bytes} bytes, more than {MAX_MODEL_BYTES}")


def _write_hf(checkpoint: Path, tokenizer: SpeechTokenizer, folder: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    shape = ModelShape(**state["shape"])
    weights = {
        f"model.{name}": value
        for name, value in state["average"].items()
        if not name.startswith("ctc_head")
    }
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"]
    model = WhisperForConditionalGeneration(_hf_config(shape, tokenizer))
    model.load_state_dict(weights)
    model.generation_config = _generation_config(shape, tokenizer)
    model.save_pretrained(folder)
    eot = "<|endoftext|>"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.tokenizer,
        unk_token=eot, bos_token=eot, eos_token=eot, pad_token=eot,
    ).save_pretrained(folder)  # fmt: skip
    # The plain file: faster-whisper reads it without transformers.
    tokenizer.tokenizer.save(str(folder / "tokenizer.json"))
    WhisperFeatureExtractor(feature_size=NUM_MELS).save_pretrained(folder)


def _hf_config(shape: ModelShape, tokenizer: SpeechTokenizer) -> WhisperConfig:
    return WhisperConfig(
        vocab_size=shape.num_tokens,
        num_mel_bins=shape.num_mels,
        d_model=shape.d_model,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.num_heads,
        decoder_attention_heads=shape.num_heads,
        encoder_ffn_dim=4 * shape.d_model,
        decoder_ffn_dim=4 * shape.d_model,
        max_source_positions=shape.max_source_positions,
        max_target_positions=shape.max_target_positions,
        pad_token_id=tokenizer.eot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        decoder_start_token_id=tokenizer.sot,
        suppress_tokens=[],
        # Empty, because silence is transcribed as an end-of-text at the beginning.
        begin_suppress_tokens=[],
    )


def _generation_config(shape: ModelShape, tokenizer: SpeechTokenizer) -> GenerationConfig:
    return GenerationConfig(
        pad_token_id=tokenizer.eot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        decoder_start_token_id=tokenizer.sot,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        max_length=shape.max_target_positions,
        # Whisper's own:
        lang_to_id={f"<|{code}|>": tokenizer.language(code) for code in LANGUAGES},
        task_to_id={"transcribe": tokenizer.transcribe, "translate": tokenizer.translate},
        no_timestamps_token_id=tokenizer.notimestamps,
        prev_sot_token_id=tokenizer.startofprev,
        is_multilingual=True,
        max_initial_timestamp_index=round(MAX_INITIAL_TIMESTAMP_S / TIMESTAMP_STEP_S),
        alignment_heads=[list(pair) for pair in ALIGNMENT_HEADS],
    )


def _mark_multilingual(folder: Path, tokenizer: SpeechTokenizer) -> None:
    """Rename a byte that UTF-8 never uses to "", by which CTranslate2 recognises multilingual."""
    path = folder / "vocabulary.json"
    vocabulary = json.loads(path.read_text())
    vocabulary[tokenizer.id_of("ÿ")] = ""
    path.write_text(json.dumps(vocabulary, ensure_ascii=False))


def _declare(folder: Path) -> None:
    """Write `talkmill.json`: the tasks and windows that the model was trained for."""
    properties = {"tasks": ["transcribe"], "windows_s": list(DECLARED_WINDOWS_S)}
    (folder / "talkmill.json").write_text(json.dumps(properties) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("training/runs"))
    parser.add_argument("--name", default="demo_model", help="folder in --runs for CTranslate2")
    arguments = parser.parse_args()
    export_checkpoint(
        arguments.runs / "checkpoint.pt",
        arguments.runs / "tokenizer.json",
        arguments.runs / "hf",
        arguments.runs / arguments.name,
    )
