"""Passes over the audio of a session: requests of one chunk, beside those of files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from ..decoding.effort import effort
from ..errors import ModelError, TalkmillError
from ..options import CheckedOptions
from ..scheduling.active_requests import ActiveRequests
from ..scheduling.admission import NO_PERMIT, Permit
from ..scheduling.pipeline import Pipeline
from ..scheduling.request import Request
from ..types import Chunk

_log = logging.getLogger(__name__)


class Passes(Protocol):
    """What a session has the model do."""

    def start(self, chunk: Chunk, checked: CheckedOptions) -> Request:
        """Start a pass over a chunk; the answer, or why there is none, is in the future."""


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
        except Exception as error:  # a fault of ours in one utterance
            _log.exception("preparing an utterance failed")
            failure = ModelError("the utterance could not be prepared")
            failure.__cause__ = error.with_traceback(None)  # its frames refer to the request
            request.fail(failure)
        return request
