"""Everything that talkmill raises on purpose.

* TalkmillError
  x RequestError            the request is invalid; a retry fails again
    + InvalidAudio          empty, or cannot be decoded
    + AudioTooLong          over the limit on seconds or bytes
    + InvalidOption         an option out of range, or a language or task the model lacks
    + UnsupportedOption     a known option that is not implemented yet
  x Refused                 the request is valid; a later retry may succeed
    + Overloaded            over a limit on requests, bytes or audio in flight
    + NotReady              loading, draining, closed or failed
    + NoSpace               the upload cannot be stored: disk full, read-only or gone
  x DeadlineExceeded        the deadline passed before the transcript was ready
  x Cancelled               the caller cancelled the request
  x ModelError              the model failed on this request
    + EngineFailed          the engine cannot go on: the process must be started again
      - DeviceLost          the device is unusable; every later call on it fails
  x ConfigError             the settings cannot work on this machine; raised at start only
"""

from __future__ import annotations


class TalkmillError(Exception):
    """Base of everything that talkmill raises on purpose."""


class RequestError(TalkmillError):
    """The request is invalid, whatever the state of the server.

    Attributes:
        field: Name of the invalid field, e.g. `language`.
    """

    def __init__(self, message: str, field: str) -> None:
        """Create the error.

        Args:
            message: What is wrong, with the value and the limit.
            field: Name of the invalid field.
        """
        super().__init__(message)
        self.field = field


class InvalidAudio(RequestError):
    """The audio is empty, is not audio, has no audio stream, or cannot be decoded."""

    def __init__(self, message: str) -> None:
        """Create the error; `message` says what is wrong with the audio."""
        super().__init__(message, field="audio")


class AudioTooLong(RequestError):
    """The audio is over the limit on decoded seconds or on bytes."""

    def __init__(self, message: str) -> None:
        """Create the error; `message` says what is wrong with the audio."""
        super().__init__(message, field="audio")


class InvalidOption(RequestError):
    """An option is out of range, or names a language or task that the model lacks."""


class UnsupportedOption(RequestError):
    """An option is known but not implemented yet."""


class Refused(TalkmillError):
    """The request is valid but cannot be accepted now; a later retry may succeed.

    Attributes:
        retry_after_s: Seconds after which a retry may succeed.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        """Create the error.

        Args:
            message: Why it cannot be accepted, with the value and the limit.
            retry_after_s: See the attribute.
        """
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Refused):
    """A limit on what is in flight is reached: requests, bytes, or seconds of audio."""


class NotReady(Refused):
    """The engine is loading, draining or closed, or has failed."""


class NoSpace(Refused):
    """The upload cannot be stored: the disk is full, read-only or gone."""


class DeadlineExceeded(TalkmillError):
    """The request's deadline passed before the transcript was ready."""


class Cancelled(TalkmillError):
    """The caller cancelled the request."""


class ModelError(TalkmillError):
    """The model failed on this request; the cause is chained."""


class EngineFailed(ModelError):
    """The engine cannot go on; the message says why. The process should exit."""


class DeviceLost(EngineFailed):
    """The device failed, and every later call on it will fail."""


class ConfigError(TalkmillError, ValueError):
    """The settings cannot work on this machine; the message names the setting."""
