"""Rows 9 and 10: whatever is sent, the gateway answers soon, in its own words, and goes on."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import psutil
import pytest

from abaco.http.endpoints import ENDPOINTS
from abaco.settings import MEBIBYTE
from tests.abaco.running import NOWHERE, SECONDS, Client, RunningGateway, eventually, furnish
from tests.reliability.soak import is_long, many, note, p99
from tests.reliability.strange import SEARCHES, TEXTS, VALUES

QUICK = many(20.0, 2.0)
"""Seconds of processor time: what grows faster than the request takes minutes."""
FLAT = 24 * MEBIBYTE
PARSED = 192 * MEBIBYTE
"""What a body of the largest size that is accepted may become when it is parsed."""
BODY = 2 * MEBIBYTE
SLOW = many(60, 500)
HEAVY = 100_000
"""Bytes of a body that takes a while to send and to read."""
STEP = many(6, 1)
"""Of the strange values, each argument is given every sixth one; of its neighbours, other ones."""
ROOM = 0.01
"""Seconds by which a message may take longer for reasons of the machine."""
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=b"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that has little patience; in the end, it says nothing of an error of its own."""
    limits = {"head_seconds": 2, "body_seconds": 1}
    running = RunningGateway(tmp_path_factory.mktemp("gateway"), settings={"limits": limits})
    running.start()
    yield running
    with running.client() as honest:
        assert honest.run(honest.actor("warm"), {"exit": 3})["exitCode"] == 3
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()
    assert "ERROR" not in running.log.read_text()


@pytest.fixture(scope="module")
def actor(admin: Client) -> str:
    return admin.actor(NOWHERE, stateless=False)


def check(reply: httpx.Response) -> None:
    """Check that a request was answered as the API answers."""
    assert reply.status_code < 500, reply.text
    if reply.status_code == 401:
        assert reply.json()["fault"]["message"] == "Invalid Credentials"
    elif reply.status_code >= 400:
        content = reply.json()
        assert (content["status"], content["result"]) == ("error", None)
        assert len(content["message"]) < 1000
        assert "Traceback" not in content["message"]


class Cost:
    """What a gateway spends in the block: processor time, and memory, which has some room."""

    def __init__(self, gateway: RunningGateway, room: int = FLAT) -> None:
        self._room = room
        self._process = psutil.Process(gateway.pid)

    def __enter__(self) -> None:
        self._seconds, self._bytes = self._now()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            seconds, size = self._now()
            assert seconds - self._seconds < QUICK
            assert size - self._bytes < self._room

    def _now(self) -> tuple[float, int]:
        times = self._process.cpu_times()
        return times.user + times.system, self._process.memory_info().rss


# Bodies


def many_keys(count: int) -> str:
    return ",".join(f'"{number}":0' for number in range(count))


BODIES: list[tuple[str, str, bytes]] = [
    ("nothing", JSON, b""),
    ("spaces", JSON, b" \n"),
    ("half an object", JSON, b'{"a": '),
    ("two values", JSON, b"1 2"),
    ("a single quote", JSON, b"{'a': 1}"),
    ("not a number", JSON, b"[NaN, Infinity]"),
    ("a huge number", JSON, b"1" * 100_000),
    ("a huge exponent", JSON, b"[1e400]"),
    ("many large numbers", JSON, b"[" + b"9" * 390 + b",9" * 500_000 + b"]"),
    ("nested lists", JSON, b"[" * 100_000 + b"]" * 100_000),
    ("nested objects", JSON, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("lists in lists", JSON, b"[" + b"[[[[[]]]]]," * 150_000 + b"1]"),
    ("a key twice", JSON, b'{"a": 1, "a": 2}'),
    ("a key twice, far apart", JSON, f'{{"x":0,{many_keys(140_000)},"x":0}}'.encode()),
    ("half of a pair", JSON, b'"\\ud800"'),
    ("half of a pair as a key", JSON, b'{"\\udfff": 1}'),
    ("a NUL", JSON, b'{"message": "a\\u0000b"}'),
    ("a bare NUL", JSON, b'"a\0b"'),
    ("Latin-1", JSON, b'"\xe9"'),
    ("UTF-16", JSON, '{"a": 1}'.encode("utf-16")),
    ("a message of another kind", JSON, b'{"message": {"message": [null, true, {}]}}'),
    ("many fields", FORM, "&".join(f"a{n}=1" for n in range(200_000)).encode()),
    ("a NUL in a form", FORM, b"message=%00"),
    ("bad escapes", FORM, b"message=%&a=%zz&%ff=%c3"),
    ("many escapes", FORM, b"message=" + b"%41" * 600_000),
    ("not UTF-8", FORM, b"message=\xff"),
    ("no boundary", "multipart/form-data", b"x"),
    ("a long boundary", f"multipart/form-data; boundary={'b' * 60_000}", b"x" * 1_000_000),
    ("no parts", MULTIPART, b"garbage"),
    ("an unfinished part", MULTIPART, b'--b\r\nContent-Disposition: form-data; name="message"'),
    ("line ends", MULTIPART, b"\r\n" * 900_000),
    (
        "many parts",
        MULTIPART,
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 38_000 + b"--b--\r\n",
    ),
    (
        "many files",
        MULTIPART,
        b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n\r\n' * 28_000,
    ),
    ("many headers of a part", MULTIPART, b"--b\r\n" + b"A: b\r\n" * 300_000),
    (
        "almost boundaries",
        MULTIPART,
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"\r\n--" * 480_000,
    ),
    ("garbage", "text/plain", bytes(range(256)) * 1000),
    ("garbage without a type", "", bytes(range(256)) * 1000),
    ("garbage of a strange type", "\x7f;;=,; charset=nonsense", b"\xff"),
]


PATHS = ["/{}/messages", "/{}/state", "/aliases"]
SENT = [
    pytest.param(
        path,
        content_type,
        body,
        id=f"{path}-{name}",
        # the same parsers read it for the first path
        marks=[pytest.mark.long] if path != PATHS[0] and len(body) >= HEAVY else [],
    )
    for path in PATHS
    for name, content_type, body in BODIES
]


@pytest.mark.parametrize(("path", "content_type", "body"), SENT)
def test_a_strange_body_is_refused_soon(
    gateway: RunningGateway, admin: Client, actor: str, path: str, content_type: str, body: bytes
) -> None:
    assert len(body) <= BODY
    headers = {"Content-Type": content_type} if content_type else {}
    with Cost(gateway, PARSED):
        reply = admin.post(path.format(actor), content=body, headers=headers)
    check(reply)
    assert reply.status_code in (200, 400, 404)
    note(9, "bodies sent to the gateway", 1, measured=f"each within {QUICK:g} s, memory flat")


# Sizes


def in_chunks(size: int) -> Iterator[bytes]:
    chunk = b"x" * 65_536
    for begin in range(0, size, len(chunk)):
        yield chunk[: size - begin]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    ("size", "status"), [(0, 400), (1, 400), (BODY, 400), (BODY + 1, 413), (100_000_000, 413)]
)
def test_a_large_body_is_refused_before_it_is_held(
    gateway: RunningGateway, admin: Client, actor: str, size: int, status: int, *, chunked: bool
) -> None:
    length = {} if chunked else {"Content-Length": str(size)}
    with Cost(gateway):
        reply = admin.post(f"/{actor}/messages", content=in_chunks(size), headers=length)
    check(reply)
    assert reply.status_code == status
    if status == 413:
        assert reply.json()["message"] == f"The request body is larger than {BODY} bytes."
    note(10, "bodies of 0 B to 100 MB, with a length and chunked", 1)


@pytest.mark.parametrize(("size", "status"), [(16 * MEBIBYTE, 200), (16 * MEBIBYTE + 1, 413)])
def test_a_binary_message_may_be_larger(
    gateway: RunningGateway, admin: Client, actor: str, size: int, status: int
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    with Cost(gateway, PARSED):
        reply = admin.post(f"/{actor}/messages", content=in_chunks(size), headers=headers)
        assert reply.status_code == status
    headers["Content-Length"] = "100000000"
    with Cost(gateway):
        reply = admin.post(f"/{actor}/messages", content=in_chunks(100_000_000), headers=headers)
    check(reply)
    assert reply.json()["message"] == "Message exceeds max content length of: 16777216"


def test_who_may_not_send_costs_no_memory(
    gateway: RunningGateway, stranger: Client, actor: str
) -> None:
    with Cost(gateway):
        reply = stranger.post(f"/{actor}/messages", content=in_chunks(20_000_000))
    assert reply.status_code == 400


# Bytes


def exchange(gateway: RunningGateway, request: bytes) -> bytes:
    """Send bytes; return all that comes until the gateway hangs up, or the whole of an answer."""
    answer = b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        client.sendall(request)
        while part := client.recv(65_536):
            answer += part
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if end and length and len(body) >= int(length[1]):
                break
    return answer


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /healthz HTTP/1.1\r\nHost: localhost\r\n"
LIST = b"GET /actors/v2%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        # lengths
        (POST + b"Content-Length: -1\r\n\r\na", 400),
        (POST + b"Content-Length: +1\r\n\r\na", 400),
        (POST + b"Content-Length: 0x1\r\n\r\na", 400),
        (POST + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\na", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\na", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000, 431),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 50_000, 431),
        # heads
        (GET + b"A: b\r\n" * 5_000 + b"\r\n", 200),
        (GET + b"A: b\r\n" * 20_000 + b"\r\n", 431),
        (GET + b"A: " + b"b" * 100_000 + b"\r\n\r\n", 431),
        (GET + b"A\r\n\r\n", 400),
        (GET + b"A b: c\r\n\r\n", 400),
        (GET + b": c\r\n\r\n", 400),
        (GET + b"A: b\r\n c\r\n\r\n", 400),
        (GET + b"A: \0\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: <b>\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: \xff:99999\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 421),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n", 421),
        # methods and versions
        (b"PATCH /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"TRACE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"TACO /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"G" * 100_000, 400),
        (b"CONNECT /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 200),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (bytes.fromhex("16030100a5010000a10303") + b"\0" * 200, 400),
        (b"\0" * 100_000, 400),
        (b"\r\n" * 50_000, 431),
        # URLs
        (LIST % (b"/%", b""), 400),
        (LIST % (b"/%zz%ff%00", b""), 400),
        (LIST % (b"/\xff", b""), 400),
        (LIST % (b"/\0", b""), 400),
        (LIST % (b"/a b", b""), 400),
        (LIST % (b"/../../etc/passwd", b""), 404),
        (LIST % (b"?" + b"a" * 60_000, b""), 400),
        (LIST % (b"?" + b"a" * 100_000, b""), 431),
        (LIST % (b"?" + b"a&" * 20_000, b""), 400),
        (LIST % (b"?%=%&%ff=%00", b""), 400),
        (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        # credentials
        (LIST % (b"", b"Authorization: Bearer\r\n"), 401),
        (LIST % (b"", b"Authorization: Bearer \xff\r\n"), 401),
        (LIST % (b"", b"Authorization: Bearer " + b"a" * 60_000 + b"\r\n"), 401),
        (LIST % (b"", b"Authorization: Basic !\r\n"), 401),
        (LIST % (b"", b"Authorization: \x01\r\n"), 400),
        (LIST % (b"", b"X-Jwt-Assertion-SD2E: " + b"e30." * 10_000 + b"\r\n"), 401),
        (LIST % (b"", b"X-Jwt-Assertion-\r\n"), 400),
    ],
)
def test_strange_bytes_are_answered_soon(
    gateway: RunningGateway, request_bytes: bytes, status: int
) -> None:
    with Cost(gateway):
        answer = exchange(gateway, request_bytes)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert head.count(b"HTTP/1.1") == 1
    check(httpx.Response(status, content=body))


def test_the_answer_to_head_has_no_body(gateway: RunningGateway) -> None:
    request = GET.replace(b"GET", b"HEAD") + b"Connection: close\r\n\r\n"
    assert exchange(gateway, request).endswith(b"\r\n\r\n")


# Time


def trickle(gateway: RunningGateway, actor: str, token: str, kind: int) -> socket.socket:
    """Begin one of several requests that never end."""
    post = f"POST /actors/v2/{actor}/messages HTTP/1.1\r\nHost: localhost\r\n"
    begun = (
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ",
        f"{post}Content-Length: 1000000\r\n\r\n",
        f"{post}Authorization: {token}\r\nContent-Length: 1000000\r\n\r\n",
        f"{post}Authorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        "PATCH /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
    )
    client = socket.create_connection(("127.0.0.1", gateway.port))
    client.sendall(begun[kind % len(begun)].encode())
    client.setblocking(False)
    return client


def is_closed(client: socket.socket) -> bool:
    """Send one more byte; tell whether the gateway has hung up."""
    try:
        client.send(b"x")
        while client.recv(65_536):
            continue
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    client.close()
    return True


@pytest.mark.alone
def test_who_sends_a_byte_now_and_then_holds_nobody_up(
    gateway: RunningGateway, admin: Client, actor: str
) -> None:
    token = admin.headers["Authorization"]

    def seconds() -> float:
        """How long an honest message takes."""
        began = time.perf_counter()
        assert admin.post(f"/{actor}/messages", json={}).status_code == 200
        return time.perf_counter() - began

    alone, meanwhile = [seconds() for _ in range(many(5, 200))], []
    slow = [trickle(gateway, actor, token, kind) for kind in range(SLOW)]

    deadline = time.monotonic() + SECONDS
    while slow:
        assert time.monotonic() < deadline, "they are not closed"
        meanwhile.append(seconds())
        slow[:] = [client for client in slow if not is_closed(client)]
        time.sleep(0.02)
    assert len(meanwhile) > 5
    if is_long():
        before, during = p99(alone), p99(meanwhile)
        assert during < 2 * before + ROOM
        measured = (
            f"p99 of an honest message {1000 * before:.0f} ms, {1000 * during:.0f} ms meanwhile"
        )
        note(10, "connections that send a byte now and then", SLOW, measured=measured)


def test_many_who_only_connect_hold_nobody_up(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    running = RunningGateway(tmp_path)
    # as a shell may have it
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        running.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", running.port)
        for _ in range(300):
            stack.enter_context(socket.create_connection(address))
        with running.client() as honest:
            assert honest.run(honest.actor("cold"), {"exit": 3})["exitCode"] == 3
    assert running.stop() == 0
    assert "ERROR" not in running.log.read_text()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="of Linux")
def test_who_does_not_read_an_answer_is_let_go(gateway: RunningGateway, admin: Client) -> None:
    log = admin.actor("cold")
    printed = admin.run(log, {"print": "x" * 100_000})["id"]
    get = f"GET /actors/v2/{log}/executions/{printed}/logs HTTP/1.1\r\nHost: localhost\r\n"
    token = admin.headers["Authorization"]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gateway.port))
        client.sendall(f"{get}Authorization: {token}\r\n\r\n".encode() * 200)
        me, process = client.getsockname()[1], psutil.Process(gateway.pid)

        def is_connected() -> bool:
            return any(each.raddr and each.raddr.port == me for each in process.net_connections())

        eventually(is_connected)
        eventually(lambda: not is_connected())


def test_a_body_that_does_not_come_is_not_waited_for(
    gateway: RunningGateway, admin: Client, actor: str
) -> None:
    with trickle(gateway, actor, admin.headers["Authorization"], 2) as client:
        client.settimeout(30)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"The request body did not come within 1 s." in answer


# Arguments


ARGUMENTS = [
    (endpoint.method, endpoint.path, argument.name)
    for endpoint in ENDPOINTS
    for argument in endpoint.arguments
]
PARTS = [
    (endpoint.method, endpoint.path, part)
    for endpoint in ENDPOINTS
    for part in re.findall(r"\{(\w+)\}", endpoint.path)
]


def numbered(places: list[tuple[str, str, str]]) -> list[Any]:
    """Return places for something strange, each with the number of the first value that it is given."""
    return [
        pytest.param(number % STEP, *place, id="-".join(place))
        for number, place in enumerate(places)
    ]


@pytest.fixture(scope="module")
def named(gateway: RunningGateway, admin: Client, actor: str) -> dict[str, str]:
    """What there is, by the names that paths and arguments have for it."""
    return {
        **furnish(admin, actor),
        "worker": "nobody",
        "kind": "actors",
        # required arguments
        "name": "guacamole",
        "value": "2",
        "grant_type": "refresh_token",
        "refresh_token": "x",
    }


def url_of(gateway: RunningGateway, path: str, named: dict[str, str], **other: str) -> str:
    """Return the URL of a path, with what its braces stand for."""
    parts = {**named, **other}
    quoted = {name: quote(text, safe="", errors="surrogatepass") for name, text in parts.items()}
    return gateway.url + re.sub(r"\{(\w+)\}", lambda match: quoted[match[1]], path)


@pytest.mark.parametrize(("begin", "method", "path", "name"), numbered(ARGUMENTS))
def test_a_strange_argument_is_refused_soon(
    gateway: RunningGateway,
    admin: Client,
    named: dict[str, str],
    begin: int,
    method: str,
    path: str,
    name: str,
) -> None:
    url = url_of(gateway, path, named)
    for value in VALUES[begin::STEP]:
        body = json.dumps({**named, name: value}).encode()
        with Cost(gateway):
            check(admin.request(method, url, content=body, headers={"Content-Type": JSON}))
    for number, text in [*enumerate(TEXTS)][begin::STEP]:
        form = urlencode({**named, name: text}, errors="surrogatepass")
        with Cost(gateway):
            if number % 2:
                check(admin.request(method, url, content=form, headers={"Content-Type": FORM}))
            else:
                check(admin.request(method, f"{url}?{form}"))


@pytest.mark.parametrize(("begin", "method", "path", "part"), numbered(PARTS))
def test_a_strange_part_of_a_path_is_refused_soon(
    gateway: RunningGateway,
    admin: Client,
    named: dict[str, str],
    begin: int,
    method: str,
    path: str,
    part: str,
) -> None:
    for text in TEXTS[begin::STEP]:
        with Cost(gateway):
            check(admin.request(method, url_of(gateway, path, named, **{part: text})))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("executions", "createTime.gt"),
        ("workers", "search"),
        ("logs", "logs.like"),
        *(
            ("actors", name)
            for name in (
                *("limit", "skip", "search", "exactsearch", "id", "state.a", "state.a.eq"),
                *("createTime.gt", "createTime.lte", "createTime.between", "status.in"),
                *("status.nin", "owner.neq", "image.like", "image.nlike", "x-nonce"),
                *("nothing.like", "." * 1_000, "%00"),
            )
        ),
    ],
)
def test_a_strange_search_is_refused_soon(
    gateway: RunningGateway, admin: Client, named: dict[str, str], kind: str, name: str
) -> None:
    for text in [*SEARCHES, *TEXTS[:8]]:
        query = f"{name}={quote(text, safe='', errors='surrogatepass')}"
        with Cost(gateway):
            check(admin.get(f"/search/{kind}?{query}"))


def test_a_nonce_of_any_kind_is_refused_soon(
    gateway: RunningGateway, stranger: Client, actor: str
) -> None:
    for text in TEXTS:
        nonce = quote(text, safe="", errors="surrogatepass")
        with Cost(gateway):
            check(stranger.get(f"/{actor}?x-nonce={nonce}"))
            check(stranger.get(f"/{actor}?x-nonce=SD2E_{nonce}"))


def test_many_who_guess_hold_nobody_up(
    gateway: RunningGateway, stranger: Client, admin: Client, actor: str
) -> None:
    def guess(number: int) -> int:
        return stranger.get(f"/{actor}?x-nonce=SD2E_{number}").status_code

    with ThreadPoolExecutor(16) as pool:
        guesses = pool.map(guess, range(500))
        assert admin.post(f"/{actor}/messages", json={"a": 1}).status_code == 200
        assert set(guesses) == {400}
