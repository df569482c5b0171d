"""The RPC of live sessions: two tasks, one for what the caller says and one for the events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..engine import Ended, InvalidOption, ModelError, TalkmillError
from ..proto import transcription_pb2 as pb
from .call import CallOptions
from .config import ServerConfig
from .gateway import Gateway
from .grpc_messages import Context, Messages
from .live import LiveCall, Mark
from .live_messages import from_event, to_live
from .status import MalformedBody, SlowUpload

_AUDIO_FIELD = pb.StreamingTranscribeRequest.AUDIO_FIELD_NUMBER

_log = logging.getLogger(__name__)

LiveMessages = Messages[pb.StreamingTranscribeRequest]
Write = Callable[[pb.StreamingTranscribeResponse], Awaitable[None]]


async def stream_session(
    gateway: Gateway, config: ServerConfig, call: CallOptions, context: Context, write: Write
) -> None:
    """Answer one call: configure, open, and pass audio and events on until the session has ended.

    Args:
        gateway: The way to the engine.
        config: The settings.
        call: The call's options.
        context: The call.
        write: Sends a message.

    Raises:
        TalkmillError: The session was refused, or ended with an error, after its last event.
    """
    messages = Messages(context, pb.StreamingTranscribeRequest, _AUDIO_FIELD)
    first = await _read_config(messages, config.upload_timeout_s)
    asked = to_live(first)
    checked = await gateway.check_live(asked.options, first.model, call)
    live = LiveCall(gateway, checked, asked.source, call)
    live.warnings = (*asked.warnings, *live.warnings)
    listening = asyncio.create_task(_listen(messages, live, config.live_idle_s))
    timestamps = asked.options.transcribe.has_segments
    try:
        async for event in live.events():
            if isinstance(event, Mark):  # the caller knows what he did
                continue
            await write(from_event(event, live, timestamps=timestamps))
            if isinstance(event, Ended) and event.error is not None:
                raise event.error
    finally:
        listening.cancel()
        await live.give_up()


async def _read_config(messages: LiveMessages, wait_s: float) -> pb.StreamingConfig:
    try:
        first = await messages.next(wait_s)
    except TimeoutError:
        raise SlowUpload(f"the first message was not received in {wait_s:g} s", "config") from None
    if first is None or first.WhichOneof("payload") != "config":
        raise InvalidOption("the first message of the stream must hold config", "config")
    return first.config


async def _listen(messages: LiveMessages, live: LiveCall, idle_s: float) -> None:
    """Take what the caller sends; however that ends, the session says so in its last event."""
    try:
        while (message := await messages.next(idle_s)) is not None:
            await _take(message, live)
        await live.finish()
    except TimeoutError:
        await live.close(f"no audio came for {idle_s:g} s")
    except TalkmillError as error:
        await live.close(str(error), error)
    except Exception:  # a fault of ours in one session
        _log.exception("a live session failed")
        await live.close("internal error", ModelError("internal error"))


async def _take(message: pb.StreamingTranscribeRequest, live: LiveCall) -> None:
    kind = message.WhichOneof("payload")
    if kind == "audio":
        await live.feed(message.audio)
    elif kind != "control":
        raise MalformedBody("after the first message only audio or control may follow", "config")
    elif message.control == pb.STREAMING_CONTROL_COMMIT:
        await live.commit()
    elif message.control == pb.STREAMING_CONTROL_CLEAR:
        await live.clear()
    else:
        raise InvalidOption(f"control {message.control} is not a value of the enum", "control")
