"""Connections to OpenAI's realtime API, as tests speak over them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from fakes import PATIENCE_S
from talkmill.engine import Encoding
from talkmill.engine.live.pcm import _ALAW, _MULAW
from talkmill.engine.types import Samples
from talkmill.server import BackgroundServer

ITEM = "conversation.item.input_audio_transcription."
MANUAL = {"audio": {"input": {"turn_detection": None}}}
Event = dict[str, Any]


def at_24_khz(samples: Samples) -> bytes:
    places = np.arange(0, len(samples), 16 / 24)
    slower = np.interp(places, np.arange(len(samples)), samples)
    return bytes((slower * 32_767).astype("<i2").tobytes())


def at_8_khz(samples: Samples, encoding: Encoding) -> bytes:
    table = _MULAW if encoding is Encoding.MULAW else _ALAW
    order = np.argsort(table)
    found = np.searchsorted(table[order], samples[::2]).clip(0, 255)
    return bytes(order[found].astype(np.uint8))


def address_of(server: BackgroundServer, query: str = "intent=transcription") -> str:
    return server.http_address.replace("http", "ws", 1) + f"/v1/realtime?{query}"


class Line:
    """A connection that a test speaks over."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.events: list[Event] = []

    def send(self, kind: str, **content: object) -> None:
        self._connection.send(json.dumps({"type": kind, **content}))

    def append(self, data: bytes, size: int = 48_000) -> None:
        for at in range(0, len(data), size):
            piece = base64.b64encode(data[at : at + size]).decode()
            self.send("input_audio_buffer.append", audio=piece)

    def next(self) -> Event:
        event: Event = json.loads(self._connection.recv(timeout=PATIENCE_S))
        self.events.append(event)
        return event

    def until(self, kind: str, count: int = 1) -> Event:
        while True:
            event = self.next()
            assert event["type"] != "error" or kind == "error", event
            count -= event["type"] == kind
            if not count:
                return event

    def close_reason(self) -> tuple[int, str]:
        with pytest.raises(ConnectionClosed) as closed:
            self._read_all()
        frame = closed.value.rcvd
        assert frame is not None
        return frame.code, frame.reason

    def _read_all(self) -> None:
        while True:
            self.next()
