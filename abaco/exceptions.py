"""What can go wrong in the gateway.

AbacoError
 ├─ SettingsError      a configuration file, or the data folder, cannot be used
 ├─ ServerError        the gateway cannot be started
 └─ ApiError           a request is refused: a status and a message for the client
     ├─ BadRequest
     ├─ Unauthorized
     ├─ NotFound
     │   └─ ActorDeleted   it has gone since the request found it
     ├─ NotAllowed
     ├─ RequestTimeout
     ├─ Gone
     ├─ TooLarge
     ├─ UnsupportedMediaType
     ├─ TooManyRequests
     └─ Unavailable
"""

from __future__ import annotations


class AbacoError(Exception):
    """Anything that the gateway says of itself."""


class SettingsError(AbacoError):
    """The configuration cannot be used; the text names the file, the key and the remedy."""


class ServerError(AbacoError):
    """The gateway cannot be started; the text says why."""


class ApiError(AbacoError):
    """A request is refused; the text is the `message` of the envelope."""

    status = 500

    def __init__(self, text: str, retry_after: int | None = None) -> None:
        """Say what is wrong.

        Args:
            text: the `message` of the envelope.
            retry_after: the seconds after which it may be sent again, where that is known.
        """
        super().__init__(text)
        self.retry_after = retry_after


class BadRequest(ApiError):
    """The request cannot be understood or is not permitted: Abaco says 400 to both."""

    status = 400


class Unauthorized(ApiError):
    """A token is wrong or has expired; the body is the fault that Abaco's API manager answers."""

    status = 401


class NotFound(ApiError):
    """There is no such thing."""

    status = 404


class NotAllowed(ApiError):
    """The path exists, but not with this method."""

    status = 405


class RequestTimeout(ApiError):
    """The body did not come in time."""

    status = 408


class Gone(ApiError):
    """What the sender waits for will not come any more."""

    status = 410


class TooLarge(ApiError):
    """The body is larger than what is accepted."""

    status = 413


class ActorDeleted(NotFound):
    """The actor was deleted since it was found, or is being so."""

    def __init__(self, actor_id: str) -> None:
        super().__init__(
            f"No actor found with identifier: {actor_id}. It was deleted, or is being so."
        )


class UnsupportedMediaType(ApiError):
    """The body is written in a way that is not read."""

    status = 415


class TooManyRequests(ApiError):
    """The sender has to wait."""

    status = 429


class Unavailable(ApiError):
    """The gateway is stopping, or something that the request needs is away."""

    status = 503
