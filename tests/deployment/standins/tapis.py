"""`tapis actors create` and `update` of tapis-cli 1.0.6: its options, requests and what it prints.

It renews the token at each call. `--privileged` and, on an update, the state are not sent by it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import httpx

with Path(os.environ["TAPIS_CALLS"]).open("a") as calls:
    calls.write(f"{json.dumps(sys.argv[1:])}\n")
parser = argparse.ArgumentParser()
parser.add_argument("group")
parser.add_argument("command")
parser.add_argument("actor", nargs="?")
for name in ("--repo", "-n", "-d", "-E", "-f"):
    parser.add_argument(name)
for name in ("--stateless", "--stateful", "--privileged", "--unprivileged", "--tokens"):
    parser.add_argument(name, action="store_true")
for name in ("--actor-uid", "--user-uid", "--force", "--no-verify"):
    parser.add_argument(name, action="store_true")
options = parser.parse_intermixed_args()
file = Path(os.environ["AGAVE_CACHE_DIR"]) / "current"
cache = json.loads(file.read_text())
server = cache["baseurl"]
client = httpx.Client(verify=not options.no_verify)
renewed = client.post(
    f"{server}/token",
    auth=(cache["apikey"], cache["apisecret"]),
    data={
        "grant_type": "refresh_token",
        "scope": "PRODUCTION",
        "refresh_token": cache["refresh_token"],
    },
)
cache.update(renewed.raise_for_status().json())
file.write_text(json.dumps(cache))
description = {
    "image": options.repo,
    "description": options.d,
    "stateless": not options.stateful,
    "useContainerUid": options.actor_uid,
    "token": options.tokens,
    "force": options.force,
    "defaultEnvironment": json.loads(Path(options.E).read_text()),
}
url, bearer = f"{server}/actors/v2", {"Authorization": f"Bearer {cache['access_token']}"}
if options.command == "create":
    reply = client.post(url, json={**description, "name": options.n}, headers=bearer)
else:
    url += f"/{options.actor}"
    reply = client.put(url, json=description, headers=bearer)
if reply.status_code != httpx.codes.OK:
    sys.exit(f"[Errno {reply.status_code}] Bad Request for {url}: {reply.json()['message']!r}")
print(json.dumps({key: reply.json()["result"][key] for key in ("id", "name", "image")}))
