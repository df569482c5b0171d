"""Everything that talkmill raises on purpose.

* TalkmillError
  x RequestError            the caller's fault; sending it again changes nothing
    + InvalidAudio          nothing that can be decoded
    + AudioTooLong          over the limit on seconds or bytes
    + InvalidOption         an option out of range, or a language or task the model lacks
    + UnsupportedOption     an option that is not wired yet
    + UnknownModel          not the model that is served
  x Refused                 nobody's fault; worth another try later
    + Overloaded            too many requests at once
    + NotReady              still loading, or draining
  x DeadlineExceeded        the request's time was up before its answer
  x Cancelled               the caller went away
  x ModelError              the model failed on this request
    + DeviceLost            the device is unusable: nothing on it will work again
  x ConfigError             the settings cannot work on this machine; raised at start only
"""

from __future__ import annotations


class TalkmillError(Exception):
    """Base of everything that talkmill raises on purpose."""


class RequestError(TalkmillError):
    """The request is wrong, whatever the state of the server.

    Attributes:
        field: The field at fault, e.g. `language`.
    """

    def __init__(self, message: str, field: str) -> None:
        """Say what is wrong, with the value and the limit, and in which field."""
        super().__init__(message)
        self.field = field


class InvalidAudio(RequestError):
    """There is nothing to decode: empty, not audio, no audio stream."""

    def __init__(self, message: str) -> None:
        """Say what is wrong with the audio."""
        super().__init__(message, field="audio")


class AudioTooLong(RequestError):
    """The audio is over the limit on decoded seconds or on bytes."""

    def __init__(self, message: str) -> None:
        """Say what is wrong with the audio."""
        super().__init__(message, field="audio")


class InvalidOption(RequestError):
    """An option is out of range, or names a language or task that the model lacks."""


class UnsupportedOption(RequestError):
    """An option is known but not honoured yet."""


class UnknownModel(RequestError):
    """The request names a model that is not served here."""


class Refused(TalkmillError):
    """The request is fine, but not now."""


class Overloaded(Refused):
    """As many requests as allowed are being worked on."""


class NotReady(Refused):
    """The engine is loading, draining or closed."""


class DeadlineExceeded(TalkmillError):
    """The request's deadline passed before its answer."""


class Cancelled(TalkmillError):
    """The caller gave the request up."""


class ModelError(TalkmillError):
    """The model failed on this request; the cause is chained."""


class DeviceLost(ModelError):
    """The device failed in a way that poisons every later call on it."""


class ConfigError(TalkmillError, ValueError):
    """The settings cannot work on this machine; the message names the setting and what can."""
