"""The URL to which a platform reports about a job."""

from __future__ import annotations

from urllib.parse import quote


def callback_url(
    api_server: str,
    manager_id: str,
    nonce: str | None,
    *,
    token: str,
    uuid: str,
    session: str | None = None,
) -> str:
    """Return the messages URL of the manager with all that identifies a job.

    Args:
        api_server: the base URL, with or without a slash at its end.
        manager_id: the manager's actor id or alias.
        nonce: lets the platform post without a Bearer token; left out where there is none.
        token: the job's.
        uuid: the job's.
        session: the job's; left out where there is none.
    """
    parameters = {"x-nonce": nonce, "token": token, "uuid": uuid, "session": session}
    query = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value
    )
    return f"{api_server.rstrip('/')}/actors/v2/{quote(manager_id, safe='')}/messages?{query}"
