"""Messages of somebody who guesses secrets are refused, before they are stored."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from abaco.exceptions import BadRequest
from abaco.http import arguments
from abaco.throttling import Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from abaco.http.call import Call
    from abaco.images import Guarded, Image

BINARY_OMITTED = "binary - omitted"
"""What the sender of a binary message is shown, which is not looked into."""
_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def throttled(
    call: Call, rule: Guarded | None, kept: Mapping[str, str], named: Mapping[str, set[str]] | None
) -> Iterator[Callable[[str], None]]:
    """Refuse a message of somebody who guesses; give what is to be told its execution.

    Args:
        call: the request.
        rule: of the image, how such a message is recognized.
        kept: the parameters of the URL that the process gets.
        named: what `named_in` has found in the message.

    Raises:
        Throttled: too many messages like this one were refused.
    """
    if rule is None:
        yield lambda _: None
        return
    throttle = call.gateway.throttle
    subjects, held = (
        (named or {}).get(name, set()) | ({kept[name]} if name in kept else set())
        for name in (rule.by, rule.secret)
    )
    try:
        attempt = throttle.admit(
            call.actor["id"], rule, call.sender, subjects, None if named is None else held
        )
    except Throttled as error:
        call.gateway.metrics.throttled.inc()
        if error.is_news:
            _logger.warning(
                "actor %s: too many messages from %s, sent %s, had a wrong %s, about %s: "
                "more of them are refused until it is right",
                call.actor["id"],
                call.client,
                f"by {'a nonce of ' if call.principal.nonce else ''}{call.principal.user}",
                rule.secret,
                ascii(error.subject) if error.subject else f"more than one {rule.by}",
            )
        raise
    try:
        yield lambda execution_id: throttle.watch(execution_id, attempt)
    except BaseException:  # whatever it is, it goes on when the message is not expected any more
        throttle.withdraw(attempt)
        raise


def named_in(shown: Any, image: Image | None) -> Mapping[str, set[str]] | None:
    """Return the values of a message that a rule is about; for a large one, that takes long.

    Args:
        shown: the message, as its sender is shown it.
        image: of the actor.

    Returns:
        The values by name; None where an actor may find some that are not seen here.
    """
    if image is None or image.throttle is None:
        return {}
    if shown is BINARY_OMITTED:
        return None
    if isinstance(shown, str) and "{" in shown:
        try:
            content = arguments.read_json(shown.encode(errors="surrogatepass"))
        except BadRequest:
            # it may be a literal of Python
            return None
    else:
        content = shown
    return {
        name: set(map(str, arguments.find(content, name, image.places)))
        for name in (image.throttle.by, image.throttle.secret)
    }
