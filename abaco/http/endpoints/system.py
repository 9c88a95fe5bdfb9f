"""Health, metrics, and the document of the API with a page to read it."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, JSONResponse, Response

from abaco.exceptions import Unavailable
from abaco.http import openapi
from abaco.http.call import PUBLIC, Call, Endpoint, Reply
from abaco.readiness import sentence

_HTML = "text/html"
_JSON = "application/json"


async def alive(_call: Call) -> Reply:
    """Say that the process answers; whatever its threads and its database do."""
    return Reply(None, "The gateway is alive.")


async def ready(call: Call) -> Reply:
    """Say whether messages can be accepted and run, or why not."""
    if call.gateway.stopping:
        message = "The gateway is stopping."
        raise Unavailable(message)
    reason = call.gateway.readiness.reason()
    if reason is not None:
        raise Unavailable(sentence(reason))
    return Reply(None, "The gateway is ready.")


def metrics(call: Call) -> Response:
    """Return what Prometheus reads."""
    return Response(call.gateway.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def document(call: Call) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(_document(call))


def page(call: Call) -> HTMLResponse:
    """Return a page to read the document."""
    return HTMLResponse(
        openapi.page(_document(call)),
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


def _document(call: Call) -> openapi.Schema:
    from abaco.http.endpoints import ENDPOINTS as ALL  # noqa: PLC0415 - this module is a part of it

    return openapi.document(ALL, call.gateway.api_server(""), snake=call.snake)


ENDPOINTS = (
    Endpoint("GET", "/healthz", alive, PUBLIC, "Whether the process answers"),
    Endpoint("GET", "/readyz", ready, PUBLIC, "Whether messages can be accepted and run"),
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        PUBLIC,
        "Metrics for Prometheus",
        raw=("text/plain",),
        scans=True,
    ),
    Endpoint("GET", "/openapi.json", document, PUBLIC, "This document", raw=(_JSON,)),
    Endpoint("GET", "/docs", page, PUBLIC, "This document as a page", raw=(_HTML,)),
)
