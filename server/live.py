"""A live session as an event loop sees it: bytes in, events out. The same for gRPC and HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from ..engine import (
    ContainerInput,
    Ended,
    Event,
    Final,
    LiveInput,
    OnEvent,
    PcmDecoder,
    PcmInput,
    Session,
    TalkmillError,
    Transcript,
)

_PIECE_BYTES = 2**16  # fed at once: 2 s of 16-bit samples at 16 kHz


class LiveCall:
    """One session of one call. Belongs to the event loop that it is made in.

    Attributes:
        session: The session.
        warnings: One sentence for each option without effect.
    """

    def __init__(
        self,
        open_session: Callable[[OnEvent], Session],
        source: PcmDecoder | None,
        warnings: tuple[str, ...],
        on_final: Callable[[Transcript], None],
    ) -> None:
        """Open the session.

        Args:
            open_session: Returns a session that gives its events to a function.
            source: Decodes the audio; None for a container.
            warnings: See the attribute.
            on_final: Called with each answer.
        """
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._has_changed = asyncio.Event()  # there may be room for audio
        self._on_final = on_final
        self.warnings = warnings
        self.session = open_session(self._put)
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
            while self._input.is_full:
                self._has_changed.clear()
                if self._input.is_full:
                    await self._has_changed.wait()
            await asyncio.to_thread(self._input.feed, data[start : start + _PIECE_BYTES])

    async def finish(self) -> None:
        """Take the end of the audio: what was said is answered, then the session ends."""
        await asyncio.to_thread(self._input.finish)

    async def commit(self) -> int | None:
        """See `Session.commit`."""
        return await asyncio.to_thread(self.session.commit)

    async def clear(self) -> None:
        """See `Session.clear`."""
        await asyncio.to_thread(self.session.clear)

    async def close(self, reason: str, error: TalkmillError | None = None) -> None:
        """See `Session.close`."""
        await asyncio.to_thread(self.session.close, reason, error)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events up to the last one."""
        while True:
            event = await self._events.get()
            if isinstance(event, Final):
                self._on_final(event.transcript)
            yield event
            if isinstance(event, Ended):
                return

    def give_up(self) -> None:
        """Release everything; without effect on a session that has ended."""
        self.session.cancel()
        self._input.give_up()

    def _put(self, event: Event) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        self._loop.call_soon_threadsafe(self._has_changed.set)

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._has_changed.set)
