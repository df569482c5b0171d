"""What the calls of a soak say: audio, options, and the mistakes and attacks of each case."""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks.soaking.plan import VARIANTS, Call
from talkmill.proto import transcription_pb2 as pb

_BOUNDARY = "soak-3f9c1a"
_END_OF_FORM = f"--{_BOUNDARY}--\r\n".encode()
_PROMPT = "word " * 40_000  # 200 kB
_NUM_SUPPRESSED = 100_000
_NESTED = 100_000
_UNKNOWN_LENGTH = 0x7FFFFFFF
_COMPRESSED_BYTES = 16 * 2**20  # 16 kB on the wire
_PLAYLISTS = (
    b"#EXTM3U\n#EXTINF:10,\n/etc/hostname\n",
    b"ffconcat version 1.0\nfile /etc/hostname\n",
)


@dataclass(frozen=True)
class Message:
    """What a call says, whatever its door.

    Attributes:
        audio: The file.
        options: By the names of the HTTP API.
        token: The bearer token.
        model: The model that is asked for; empty for any.
        use_cache: Whether an earlier answer will do.
        content_type: The media type of a file that is the body itself.
    """

    audio: bytes
    options: Mapping[str, Any]
    token: str
    model: str = ""
    use_cache: bool = False
    content_type: str = "audio/flac"

    @property
    def headers(self) -> dict[str, str]:
        """The headers or metadata of the call, names in lower case."""
        return {
            "authorization": f"Bearer {self.token}",
            "x-use-cache": str(self.use_cache).lower(),
        }


def make_message(call: Call, audio: bytes, silence: bytes, token: str) -> Message:
    """Return what a call says.

    Args:
        call: The call.
        audio: The file with its clip.
        silence: A file without sound.
        token: A token that the server knows.
    """
    options = {"language": "en", **VARIANTS[call.variant]}
    message = Message(audio, options, token, use_cache=call.use_cache)
    changes = _CHANGES.get(call.case)
    return message if changes is None else replace(message, **changes(call, message, silence))


_Changes = Callable[[Call, Message, bytes], dict[str, Any]]


def _with(**options: Any) -> _Changes:
    return lambda call, message, silence: {"options": {**message.options, **options}}


_CHANGES: dict[str, _Changes] = {
    "noise": lambda call, *_: {"audio": random.Random(call.number).randbytes(2_000)},
    "empty": lambda *_: {"audio": b""},
    "header only": lambda call, message, silence: {"audio": message.audio[:30]},
    "language": _with(language="xx"),
    "beams": _with(num_beams=0),
    "field": _with(no_such_option=1),
    "model": lambda *_: {"model": "nobody/nothing"},
    "media type": lambda *_: {"content_type": "text/html"},
    "token": lambda *_: {"token": "tm_nobody"},
    "prompt": _with(prompt=_PROMPT),
    "suppress": _with(suppress_tokens=list(range(_NUM_SUPPRESSED))),
    "compressed": lambda *_: {"audio": bytes(_COMPRESSED_BYTES)},
    "playlist": lambda call, *_: {"audio": _PLAYLISTS[call.number % len(_PLAYLISTS)]},
    "endless header": lambda *_: {"audio": _endless_wav()},
    "silence": lambda call, message, silence: {"audio": silence},
}


def _endless_wav() -> bytes:
    """Return a second of silence whose header says that two gigabytes follow."""
    kind = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    riff = b"RIFF" + struct.pack("<I", _UNKNOWN_LENGTH) + b"WAVEfmt " + kind
    return riff + b"data" + struct.pack("<I", _UNKNOWN_LENGTH - 36) + bytes(32_000)


def http_request(call: Call, message: Message) -> tuple[bytes, bytes]:
    """Return the head and the body of an HTTP request."""
    if call.door == "realtime":
        return _realtime(call, message)
    target, content_type, body = _BODIES[call.door](message)
    if call.case in _BROKEN_BODIES:
        body = _BROKEN_BODIES[call.case](body)
    headers = {
        "host": "soak",
        "connection": "close",
        "content-type": content_type,
        "content-length": str(len(body)),
        **message.headers,
    }
    if call.case == "long header":
        headers["x-long"] = "x" * 200_000
    if call.case == "two lengths":
        headers["transfer-encoding"] = "chunked"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, "", ""]).encode()
    rubbish = random.Random(call.number).randbytes(300) + b"\r\n\r\n"
    return (rubbish if call.case == "no http" else head), body


def _realtime(call: Call, message: Message) -> tuple[bytes, bytes]:
    """Return the handshake of a WebSocket, and the frames of one whose client makes noise."""
    noise = random.Random(call.number).randbytes(2 * 24_000)
    audio = base64.b64encode(noise).decode()
    append = json.dumps({"type": "input_audio_buffer.append", "audio": audio}).encode()
    frame = struct.pack(">BBQ4x", 0x81, 0xFF, len(append)) + append  # masked with zeros
    headers = {
        "host": "soak",
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
        **message.headers,
    }
    lines = ["GET /v1/realtime HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode(), 8 * frame


def _raw_body(message: Message) -> tuple[str, str, bytes]:
    query = {name: _as_text(value) for name, value in message.options.items()}
    path = f"/models/{quote(message.model)}" if message.model else "/"
    return f"{path}?{urlencode(query)}", message.content_type, message.audio


def _json_body(message: Message) -> tuple[str, str, bytes]:
    inputs = base64.b64encode(message.audio).decode()
    body = json.dumps({"inputs": inputs, "parameters": message.options})
    return "/", "application/json", body.encode()


def _form_body(message: Message, **fields: str) -> tuple[str, str, bytes]:
    fields |= {"model": message.model} if message.model else {}
    for name, value in message.options.items():
        if name == "return_timestamps":
            fields["response_format"] = "verbose_json"
        else:
            fields[name] = _as_text(value)
    head = 'Content-Disposition: form-data; name="'
    parts = [f'--{_BOUNDARY}\r\n{head}{name}"\r\n\r\n{text}\r\n' for name, text in fields.items()]
    parts.append(f'--{_BOUNDARY}\r\n{head}file"; filename="audio"\r\n\r\n')
    body = "".join(parts).encode() + message.audio + b"\r\n" + _END_OF_FORM
    return "/v1/audio/transcriptions", f"multipart/form-data; boundary={_BOUNDARY}", body


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_BODIES: dict[str, Callable[[Message], tuple[str, str, bytes]]] = {
    "http raw": _raw_body,
    "http json": _json_body,
    "openai": _form_body,
    "openai events": lambda message: _form_body(message, stream="true"),
}
_BROKEN_BODIES: dict[str, Callable[[bytes], bytes]] = {
    "base64": lambda body: body.replace(b'"inputs": "', b'"inputs": "?', 1),
    "json": lambda body: body[:-1],
    "form": lambda body: body[: -len(_END_OF_FORM)],
    "nested": lambda body: b'{"inputs": ' + b"[" * _NESTED + b"]" * _NESTED + b"}",
}


def http_text(call: Call, body: bytes) -> str:
    """Return the words of an answer.

    Raises:
        ValueError: It is not what the API describes.
    """
    if call.door != "openai events":
        return str(json.loads(body)["text"])
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    if not lines or lines.pop() != "[DONE]":
        raise ValueError("the events end without [DONE]")
    events = [json.loads(line) for line in lines]
    pieces = [one["delta"] for one in events if one["type"] == "transcript.text.delta"]
    return joined(pieces, events[-1]["text"])


def joined(pieces: Sequence[str], text: str) -> str:
    """Return `text` if it is what the pieces say; else both, which are the words of no clip."""
    said = "".join(pieces).strip()
    return text if said == text else f"{text} (the pieces before it say: {said})"


def grpc_messages(call: Call, message: Message, num_pieces: int) -> list[bytes]:
    """Return the messages of an RPC, serialized: one, or those of a stream."""
    options = _wire_options(message.options)
    if call.case == "undecodable":
        return [b"\xff" * 100]
    if call.door == "grpc":
        request = pb.TranscribeRequest(audio=message.audio, model=message.model, options=options)
        return [request.SerializeToString()]
    if call.door == "live":
        encoding = pb.AUDIO_ENCODING_CONTAINER
        live = pb.StreamingConfig(encoding=encoding, options=options, interim_results=True)
        said = [pb.StreamingTranscribeRequest(config=live)]
        said += [pb.StreamingTranscribeRequest(audio=one) for one in cut(message.audio, num_pieces)]
        return [one.SerializeToString() for one in said]
    config = pb.TranscribeStreamConfig(model=message.model, options=options)
    pieces = [pb.TranscribeStreamRequest(config=config)]
    pieces += [pb.TranscribeStreamRequest(audio=one) for one in cut(message.audio, num_pieces)]
    return [piece.SerializeToString() for piece in pieces]


def cut(content: bytes, num_pieces: int) -> list[bytes]:
    """Return the content in so many pieces; fewer if it has fewer bytes."""
    size = max(1, -(-len(content) // num_pieces))
    return [content[start : start + size] for start in range(0, len(content), size)]


def _wire_options(options: Mapping[str, Any]) -> pb.TranscribeOptions:
    wire = pb.TranscribeOptions()
    for name, value in options.items():
        if name == "return_timestamps":
            wire.return_timestamps = pb.RETURN_TIMESTAMPS_SEGMENT
        elif name in pb.TranscribeOptions.DESCRIPTOR.fields_by_name:
            setattr(wire, name, value)
        elif isinstance(value, list):
            getattr(wire.generation_parameters, name).extend(value)
        else:
            setattr(wire.generation_parameters, name, value)
    return wire
