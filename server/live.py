"""A live session as an event loop sees it: bytes in, events out. The same for gRPC and HTTP."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..engine import (
    CheckedLive,
    ContainerInput,
    Ended,
    Event,
    Final,
    LiveInput,
    PcmDecoder,
    PcmInput,
    TalkmillError,
)
from .call import CallOptions
from .gateway import Gateway

_PIECE_BYTES = 2**16  # fed at once: 2 s of 16-bit samples at 16 kHz


@dataclass(frozen=True)
class Mark:
    """Stands among the events after those of all audio that came before it.

    Attributes:
        what: What the caller did.
        has_utterance: Whether that ended an utterance.
    """

    what: str
    has_utterance: bool = False


class LiveCall:
    """One session of one call. Belongs to the event loop that it is made in.

    Attributes:
        session: The session.
        warnings: One sentence for each option without effect.
    """

    def __init__(
        self,
        gateway: Gateway,
        checked: CheckedLive,
        source: PcmDecoder | None,
        call: CallOptions,
    ) -> None:
        """Open the session.

        Args:
            gateway: The way to the engine.
            checked: The session's options; see `Gateway.check_live`.
            source: Decodes the audio; None for a container.
            call: The call's options.

        Raises:
            NotReady: The engine is closed.
        """
        self._loop = asyncio.get_running_loop()
        # Some events for each second of audio, whose length is limited.
        self._events: asyncio.Queue[Event | Mark] = asyncio.Queue()
        self._has_changed = asyncio.Event()  # there may be room for audio
        self._count_audio = functools.partial(gateway.count_audio, call)
        self._counted_s = 0.0
        self.warnings = checked.final.warnings
        self.session = gateway.open_session(checked, call, self._put)
        self._input: LiveInput = (
            ContainerInput(self.session, on_room=self._wake)
            if source is None
            else PcmInput(self.session, source)
        )

    async def feed(self, data: bytes) -> None:
        """Take the next bytes of audio, as fast as the model keeps up.

        Raises:
            TalkmillError: They cannot be decoded, or the session has ended.
        """
        for start in range(0, len(data), _PIECE_BYTES):
            await self._room()
            await asyncio.to_thread(self._input.feed, data[start : start + _PIECE_BYTES])

    async def finish(self) -> None:
        """Take the end of the audio: what was said is answered, then the session ends."""
        await self._room()
        await asyncio.to_thread(self._input.finish)

    async def commit(self) -> None:
        """See `Session.commit`; a `Mark` "committed" follows the events."""
        number = await asyncio.to_thread(self.session.commit)
        self._events.put_nowait(Mark("committed", number is not None))

    async def clear(self) -> None:
        """See `Session.clear`; a `Mark` "cleared" follows the events."""
        await asyncio.to_thread(self.session.clear)
        self._events.put_nowait(Mark("cleared"))

    async def close(self, reason: str, error: TalkmillError | None = None) -> None:
        """See `Session.close`."""
        await asyncio.to_thread(self.session.close, reason, error)

    async def events(self) -> AsyncIterator[Event | Mark]:
        """Yield the events up to the last one."""
        while True:
            event = await self._events.get()
            if isinstance(event, Final):
                self._count(event.transcript.speech_s)
            yield event
            if isinstance(event, Ended):
                return

    async def give_up(self) -> None:
        """Release everything; without effect on a session that has ended."""
        # It waits for the session's lock; a caller who leaves meanwhile must not stop it.
        await asyncio.shield(asyncio.to_thread(self._give_up))
        self._count(0.0)

    def _give_up(self) -> None:
        self.session.cancel()
        self._input.give_up()

    def _count(self, speech_s: float) -> None:
        before_s, self._counted_s = self._counted_s, self.session.audio_s
        self._count_audio(self._counted_s - before_s, speech_s)

    async def _room(self) -> None:
        while self._input.is_full:
            self._has_changed.clear()
            if self._input.is_full:
                await self._has_changed.wait()

    def _put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        self._loop.call_soon_threadsafe(self._has_changed.set)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._has_changed.set)
