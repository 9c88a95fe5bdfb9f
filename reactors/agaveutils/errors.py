"""What the platform says when it does not do what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactors.exceptions import PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_LENGTH = 300


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an answer that was an error; None where there was no answer."""
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    return status


def process_agave_httperror(error: BaseException) -> str:
    """Return the status and the message of an answer that was an error, as one line.

    The URL, which may hold a credential, is left out. For an error that is not an answer, such as a
    time-out, it is the name of its type.
    """
    status = status_of(error)
    if status is None:
        return type(error).__name__
    response: Any = getattr(error, "response", None)
    try:
        message = _message(response.json())
    except ValueError:
        message = ""
    line = " ".join((message or response.reason or "").split())
    return f"HTTP status {status}: {line:.{_MAX_LENGTH}}" if line else f"HTTP status {status}"


def _message(content: Any) -> str:
    """Return what an envelope of Agave or Abaco, or a fault of the API manager, says."""
    if not isinstance(content, dict):
        return ""
    fault = content.get("fault")
    message = fault.get("message") if isinstance(fault, dict) else content.get("message")
    return message if isinstance(message, str) else ""


def call(operation: Callable[..., Any], failure: str, **arguments: Any) -> Any:
    """Return what an operation of the platform returns.

    Args:
        operation: of an agavepy client.
        failure: what to say has not been done, if it fails.
        arguments: of the operation.

    Raises:
        PlatformError: it failed.
    """
    try:
        return operation(**arguments)
    except Exception as error:  # noqa: BLE001 - agavepy raises what it comes upon
        message = f"{failure}: {process_agave_httperror(error)}"
    # without its cause, since that names the URL
    raise PlatformError(message)
