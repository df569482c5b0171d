"""Reads the session of OpenAI's realtime API, of the transcription kind, in its two shapes.

Source: OpenAI's reference of `session.update` and, older, of `transcription_session.update`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ...engine import (
    MAX_PADDING_MS,
    Encoding,
    InvalidOption,
    LiveOptions,
    PcmDecoder,
    TranscribeOptions,
    VadOptions,
)
from ..status import MalformedBody

RATE_HZ = 24_000
_G711_HZ = 8_000
_LOGPROBS = "item.input_audio_transcription.logprobs"
_FORMATS = {
    "audio/pcm": Encoding.PCM16,
    "audio/pcmu": Encoding.MULAW,
    "audio/pcma": Encoding.ALAW,
    "pcm16": Encoding.PCM16,
    "g711_ulaw": Encoding.MULAW,
    "g711_alaw": Encoding.ALAW,
}
_TYPE_OF = {Encoding.PCM16: "audio/pcm", Encoding.MULAW: "audio/pcmu", Encoding.ALAW: "audio/pcma"}
_PADDING = "prefix_padding_ms"
_VAD = {
    "threshold": (int, float),
    "silence_duration_ms": (int,),
    _PADDING: (int,),
}
# What a conversation does when somebody speaks; here nobody answers.
_OF_ANSWERS = {"create_response", "interrupt_response", "idle_timeout_ms"}

FIELDS = {"encoding": "audio.input.format", "vad": "audio.input.turn_detection"}  # in session

Json = dict[str, Any]


@dataclass(frozen=True)
class RealtimeConfig:
    """A session as the client has set it.

    Attributes:
        model: Name of the model; empty for any.
        language: See `TranscribeOptions`.
        prompt: See `TranscribeOptions`.
        encoding: How samples are written.
        vad: How speech is detected; None: utterances end when they are committed.
        has_logprobs: Whether answers have the log-probabilities of their tokens.
        warnings: One sentence for each field without effect.
    """

    model: str = ""
    language: str = ""
    prompt: str = ""
    encoding: Encoding = Encoding.PCM16
    vad: VadOptions | None = field(default_factory=VadOptions)
    has_logprobs: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def options(self) -> LiveOptions:
        """The options of the session."""
        transcribe = TranscribeOptions(
            language=self.language or None,
            prompt=self.prompt,
            token_logprobs=self.has_logprobs,
            vad_options=self.vad or VadOptions(),
        )
        return LiveOptions(transcribe, is_manual=self.vad is None)

    def new_decoder(self) -> PcmDecoder:
        """Return what decodes the audio."""
        return PcmDecoder(self.encoding, RATE_HZ if self.encoding is Encoding.PCM16 else _G711_HZ)

    def to_json(self) -> Json:
        """Return the session as OpenAI's `session` object."""
        audio_format: Json = {"type": _TYPE_OF[self.encoding]}
        if self.encoding is Encoding.PCM16:
            audio_format["rate"] = RATE_HZ
        transcription = {"model": self.model, "language": self.language, "prompt": self.prompt}
        vad = self.vad and {
            "type": "server_vad",
            **{name: value for name, value in vars(self.vad).items() if value is not None},
        }
        audio = {"format": audio_format, "transcription": transcription, "turn_detection": vad}
        include = [_LOGPROBS] if self.has_logprobs else []
        return {"type": "transcription", "audio": {"input": audio}, "include": include}

    def updated(self, session: Any) -> RealtimeConfig:
        """Return the session after an update, which leaves as it is what it does not name.

        A field that is null has its default again, except `turn_detection`: see `vad`.

        Raises:
            InvalidOption: A field is unknown or its value is refused; it is named.
        """
        given = _object(session, "session")
        new = replace(self, warnings=())
        if "audio" not in given:
            return new._with_flat(given)
        audio = _object(given.pop("audio"), "audio")
        new = new._with_rest(given)
        flat = _object(audio.pop("input", {}), "audio.input")
        _refuse_unknown(audio, "audio.")
        return new._with_input(flat, "audio.input.")

    def _with_flat(self, given: Json) -> RealtimeConfig:
        """Take the older shape, in which the names begin with `input_audio_`."""
        prefix = "input_audio_"
        names = [name for name in given if name.startswith(prefix) or name == "turn_detection"]
        flat = {name.removeprefix(prefix): given.pop(name) for name in names}
        return self._with_rest(given)._with_input(flat, "")

    def _with_rest(self, given: Json) -> RealtimeConfig:
        new = self
        kind = given.pop("type", "transcription")
        if kind != "transcription":
            raise InvalidOption(f"session.type {kind!r} is not transcription", "session.type")
        if "include" in given:
            include = given.pop("include") or []
            if not isinstance(include, list) or set(map(str, include)) - {_LOGPROBS}:
                raise InvalidOption(f"include is not a list of {_LOGPROBS!r}", "include")
            new = replace(new, has_logprobs=bool(include))
        _refuse_unknown(given, "session.")
        return new

    def _with_input(self, given: Json, prefix: str) -> RealtimeConfig:
        new = self
        if "format" in given:
            new = replace(new, encoding=_encoding(given.pop("format"), prefix + "format"))
        if "transcription" in given:
            new = new._with_transcription(given.pop("transcription"), prefix + "transcription")
        if "turn_detection" in given:
            new = new._with_vad(given.pop("turn_detection"), prefix + "turn_detection")
        if given.pop("noise_reduction", None) is not None:
            new = new._with_warning(f"{prefix}noise_reduction has no effect: audio is not filtered")
        _refuse_unknown(given, prefix)
        return new

    def _with_transcription(self, given: Any, name: str) -> RealtimeConfig:
        if given is None:
            return self._with_warning(
                f"{name} null has no effect: a transcription session always transcribes"
            )
        asked = _object(given, name)
        texts: Json = {
            key: _text(asked.pop(key), f"{name}.{key}", key)
            for key in ("model", "language", "prompt")
            if key in asked
        }
        _refuse_unknown(asked, name + ".")
        return replace(self, **texts)

    def _with_vad(self, given: Any, name: str) -> RealtimeConfig:
        if given is None:
            return replace(self, vad=None)
        asked, new = _object(given, name), self
        kind = asked.pop("type", "server_vad")
        if kind != "server_vad":
            raise InvalidOption(f"{name}.type {kind!r} is neither server_vad nor null", name)
        values: Json = {}
        for key in asked.keys() & _VAD.keys():
            value = asked.pop(key)
            is_number = isinstance(value, _VAD[key]) and not isinstance(value, bool)
            if value is not None and not is_number:
                raise InvalidOption(f"{name}.{key} {value!r} is not a number of its kind", key)
            values[key] = value
        for key in sorted(asked.keys() & _OF_ANSWERS):
            if asked.pop(key):
                new = new._with_warning(f"{name}.{key} has no effect: nobody answers here")
        _refuse_unknown(asked, name + ".")
        if (values.get(_PADDING) or 0) > MAX_PADDING_MS:  # OpenAI takes more, and clients send it
            new = new._with_warning(
                f"{name}.{_PADDING} {values[_PADDING]}: {MAX_PADDING_MS} ms are kept at most"
            )
            values[_PADDING] = MAX_PADDING_MS
        return replace(new, vad=replace(self.vad or VadOptions(), **values))

    def _with_warning(self, warning: str) -> RealtimeConfig:
        return replace(self, warnings=(*self.warnings, warning))


def _encoding(given: Any, name: str) -> Encoding:
    if given is None:
        return Encoding.PCM16
    kind = given.get("type") if isinstance(given, dict) else given
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise InvalidOption(f"{name} {kind!r} is none of {', '.join(_FORMATS)}", name)
    encoding = _FORMATS[kind]
    rate_hz = given.get("rate") if isinstance(given, dict) else None
    expected_hz = RATE_HZ if encoding is Encoding.PCM16 else _G711_HZ
    if rate_hz not in (None, expected_hz):
        raise InvalidOption(f"{name}.rate {rate_hz!r} is not {expected_hz}", name)
    return encoding


def _text(value: Any, name: str, field: str) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidOption(f"{name} is not text", field)
    text = value or ""
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON allows lone surrogates
        raise InvalidOption(f"{name} {text!r} is not valid text", field) from None
    return text


def _object(value: Any, name: str) -> Json:
    """Return a copy of a JSON object.

    Raises:
        MalformedBody: It is something else.
    """
    if not isinstance(value, dict):
        raise MalformedBody(f"{name} is not an object", name)
    return dict(value)


def _refuse_unknown(given: Json, prefix: str) -> None:
    for name in given:
        raise InvalidOption(f"{prefix}{name} is unknown", f"{prefix}{name}")
