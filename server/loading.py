"""What calls do while the model is being loaded: wait, for as long as they may."""

from __future__ import annotations

import asyncio
import time

from ..engine import DeadlineExceeded, Engine, State
from .call import CallOptions, Loading


class LoadingModel:
    """The model of an engine until it is loaded. Belongs to one event loop."""

    def __init__(self, engine: Engine) -> None:
        """Start the clock: loading begins about now."""
        self._engine = engine
        self._since_s = time.monotonic()
        self._settled = asyncio.Event()

    def settled(self) -> None:
        """Wake the calls that wait: the model is loaded, or loading has failed."""
        self._settled.set()

    async def wait(self, call: CallOptions) -> None:
        """Return once the model is loaded or loading has failed.

        Raises:
            Loading: It is not within the time that the call waits.
            DeadlineExceeded: It is not before the call's deadline.
        """
        if self._engine.state is not State.LOADING:
            return
        waits = [wait_s for wait_s in (call.loading_wait_s, call.remaining_s) if wait_s is not None]
        try:
            await asyncio.wait_for(self._settled.wait(), min(waits, default=None))
        except TimeoutError:
            if call.loading_wait_s is None:
                raise DeadlineExceeded("the deadline passed before the model was loaded") from None
            elapsed_s = time.monotonic() - self._since_s
            # As long again as loading has taken so far: nothing better is known.
            raise Loading(self._engine.model_name, max(1.0, elapsed_s)) from None
