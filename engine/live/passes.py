"""Passes over the audio of a session: requests of one chunk, beside those of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..decoding.effort import effort
from ..errors import TalkmillError
from ..options import CheckedOptions
from ..scheduling.active_requests import ActiveRequests
from ..scheduling.admission import NO_PERMIT, Permit
from ..scheduling.pipeline import Pipeline
from ..scheduling.request import Request
from ..types import Chunk


class Passes(Protocol):
    """What a session has the model do."""

    def start(self, chunk: Chunk, checked: CheckedOptions) -> Request:
        """Start a pass over a chunk; the answer is in the request's future.

        Raises:
            NotReady: The engine is closed or has failed.
        """


class EnginePasses:
    """`Passes` on an engine's pipeline."""

    def __init__(
        self, pipeline: Callable[[], Pipeline], active: ActiveRequests, permit: Permit
    ) -> None:
        """Take the parts.

        Args:
            pipeline: Returns the pipeline, or raises `NotReady`.
            active: Where the requests are kept until they end.
            permit: That of the session.
        """
        self._pipeline = pipeline
        self._active = active
        self._permit = permit

    def start(self, chunk: Chunk, checked: CheckedOptions) -> Request:
        """See `Passes`. A preview counts for nothing in the queue: it waits behind everyone."""
        permit = NO_PERMIT if checked.is_interim else self._permit.another(effort(checked.plan))
        request = Request(checked, permit=permit)
        self._active.add(request, on_end=permit.release)
        try:
            self._pipeline().add_chunk(request, chunk)
        except TalkmillError as error:
            request.fail(error)
            raise
        return request
