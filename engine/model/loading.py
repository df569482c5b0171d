"""Loads a model: replicas, tokenizer, declared properties, and how it runs here."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import threadpoolctl

from ..audio.sample import sample_features
from ..audio.windows import Windows
from ..config import EngineConfig
from ..decoding.plan import DecodePlan
from ..decoding.rules import MAX_INITIAL_TIMESTAMP, Vocabulary
from ..errors import InvalidOption
from ..types import EncoderWindow, Task
from .alignment_heads import has_alignment_heads
from .array_library import array_library
from .device import resolve_runtime
from .encoder_choice import choose_encoder
from .files import ModelFiles, ModelProperties, find_model, suppressed_tokens
from .languages import find_language, is_open
from .protocol import SpeechModel
from .runtime import Runtime
from .silence import Silence, load_or_measure, measure_states
from .soundness import check_files, check_numbers, check_vocabulary
from .tokenizer import WhisperTokenizer
from .versions import library_versions
from .whisper_ct2 import CTranslate2Model

_log = logging.getLogger(__name__)

_PROBE_TOKENS = 4
_BLAS_VARIABLES = {"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"}


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready for use.

    Attributes:
        name: The name by which requests select it.
        replicas: One for each device.
        tokenizer: Its tokenizer.
        vocabulary: The token ids that the decoding rules need.
        properties: What it declares in `talkmill.json`.
        runtime: How it runs on this machine.
        fingerprint: Identifies the weights and the way to compute: the words depend on it.
        has_alignment_heads: Whether it lists the heads that words are aligned with.
    """

    name: str
    replicas: Sequence[SpeechModel]
    tokenizer: WhisperTokenizer
    vocabulary: Vocabulary
    properties: ModelProperties
    runtime: Runtime
    fingerprint: str = ""
    has_alignment_heads: bool = True

    def check_language(self, language: str | None) -> str | None:
        """Return the code of the language to decode in, or None if it must be detected.

        Raises:
            InvalidOption: The model has no token for the language.
        """
        known = self.tokenizer.languages
        if is_open(language):
            return next(iter(known)) if len(known) == 1 else None
        return find_language(language or "", known, "language", self.name)

    def check_task(self, task: Task) -> None:
        """Check that the model can do a task.

        Raises:
            InvalidOption: The model was not trained for the task.
        """
        tasks = self.properties.tasks & self.tokenizer.tasks
        if task not in tasks:
            names = ", ".join(sorted(known.value for known in tasks))
            raise InvalidOption(
                f"task {task.value!r} is not a task of {self.name}: {names}", "task"
            )

    @property
    def num_tokens(self) -> int:
        """Tokens of the vocabulary; the tokenizer may have no text for some, such as timestamps."""
        return self.replicas[0].num_tokens

    def check_tokens(self, tokens: Sequence[int], *, timestamps: bool) -> None:
        """Check that tokens can be suppressed.

        Raises:
            InvalidOption: One of them is not in the vocabulary; or, with `timestamps`, all that an
                answer can start with are among them.
        """
        for token in tokens:
            if not 0 <= token < self.num_tokens:
                raise InvalidOption(
                    f"suppress_tokens {token} is not in 0 <= x < {self.num_tokens}",
                    "suppress_tokens",
                )
        begin = self.tokenizer.timestamp_begin
        firsts = range(begin, begin + MAX_INITIAL_TIMESTAMP + 1)
        if timestamps and set(tokens).issuperset(firsts):
            raise InvalidOption(
                f"suppress_tokens has all of {firsts[0]} to {firsts[-1]}: with timestamps, an "
                "answer starts with one of these",
                "suppress_tokens",
            )

    def check_encoder_window(self, kind: EncoderWindow | None) -> EncoderWindow:
        """Return what decides the length of the encoder's window; the runtime's own for None.

        Raises:
            InvalidOption: The model does not run with such windows here.
        """
        windows = self.runtime.windows
        if kind is None:
            return windows.kind
        if kind not in windows.available:
            names = ", ".join(sorted(known.value for known in windows.available))
            raise InvalidOption(
                f"encoder_window {kind.value!r} is not available for {self.name}: {names}",
                "encoder_window",
            )
        return kind

    def warm_up(self) -> None:
        """Probe every replica: the first request is not slower, and a broken model is not served.

        Raises:
            ConfigError: The model gives numbers that are not finite.
        """
        for replica in self.replicas:
            self.probe(replica)

    def probe(self, replica: SpeechModel) -> None:
        """Run the package's recording in each window through a replica.

        Raises:
            ConfigError: The replica gives numbers that are not finite.
        """
        language = next(iter(self.tokenizer.languages))
        prompt = self.tokenizer.prompt(language, Task.TRANSCRIBE, timestamps=False)
        windows = self.runtime.windows
        for frames in windows.typical_frames:
            positions = windows.of_frames(frames).num_positions
            encoded = replica.encode([sample_features(replica.n_mels, frames)], positions)
            (found,) = replica.generate(encoded, [prompt], DecodePlan(max_new_tokens=_PROBE_TOKENS))
            check_numbers(self.name, replica.row(encoded, 0), found)


def keep_numpy_to_one_thread() -> None:
    """Limit NumPy's BLAS to one thread, unless the environment sets a number.

    Workers and feeders call BLAS from many threads at once. With threads of its own, two exact
    lanes on two cores took 2 to 4 times as long, and features twice the CPU time.
    """
    if _BLAS_VARIABLES.isdisjoint(os.environ):
        threadpoolctl.threadpool_limits(1, user_api="blas")


def _with_silence(replicas: Sequence[CTranslate2Model], runtime: Runtime, revision: str) -> Windows:
    """Give the replicas what fitted windows need; return the windows that they can run with."""
    windows = runtime.windows
    if windows.kind is not EncoderWindow.FITTED:
        return windows
    if runtime.device != "cpu" and runtime.indexes != (0,):
        _log.warning("full windows: fitted ones run on GPU 0 only, not on %s", runtime.indexes)
        return Windows(EncoderWindow.FULL)
    if array_library(runtime.device) is None:
        return Windows(EncoderWindow.FULL)
    first = replicas[0]
    silence = first.encoder.silence if first.encoder else None
    if silence is None:
        key = f"{revision} {runtime.compute_type} {runtime.encoder} {library_versions()}"
        silence = load_or_measure(key, lambda: Silence(measure_states(first.states, first.n_mels)))
    for replica in replicas:
        replica.silence = silence.states
    return windows


def load_model(config: EngineConfig, files: ModelFiles | None = None) -> LoadedModel:
    """Find the configured model and load it onto each device.

    Args:
        config: The settings.
        files: The model's files, if they are known already.

    Raises:
        ConfigError: The model cannot be found or loaded, or the settings cannot work here.
    """
    keep_numpy_to_one_thread()
    files = files or find_model(config.model, config.revision)
    check_files(files.folder)
    runtime = resolve_runtime(config, files.properties)
    replicas = [CTranslate2Model(files.folder, runtime, index) for index in runtime.indexes]
    if runtime.device == "cpu" or config.encoder == "array":
        weights = files.folder / "model.bin"
        is_fitted = runtime.windows.kind is EncoderWindow.FITTED
        key = f"{files.revision} {library_versions()}" if is_fitted else None
        encoder = choose_encoder(config.encoder, replicas[0], weights, runtime, key)
        runtime = replace(runtime, encoder=encoder)
    runtime = replace(runtime, windows=_with_silence(replicas, runtime, files.revision))
    tokenizer = WhisperTokenizer(files.folder / "tokenizer.json", replicas[0].is_multilingual)
    check_vocabulary(files.folder, tokenizer, replicas[0].num_tokens)
    suppress, suppress_first = suppressed_tokens(files.folder)
    parts = (files.revision, runtime.compute_type, runtime.encoder, runtime.windows)
    return LoadedModel(
        name=files.name,
        replicas=replicas,
        tokenizer=tokenizer,
        vocabulary=Vocabulary(
            end_of_text=tokenizer.end_of_text,
            timestamp_begin=tokenizer.timestamp_begin,
            suppress=suppress,
            suppress_first=suppress_first,
            start_of_transcript=tokenizer.start_of_transcript,
            no_speech=tokenizer.no_speech,
        ),
        properties=files.properties,
        runtime=runtime,
        fingerprint=" ".join(map(str, parts)),
        has_alignment_heads=has_alignment_heads(files.folder),
    )
