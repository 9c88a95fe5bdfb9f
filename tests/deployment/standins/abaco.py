"""The bash CLI's `create` and `update`: the requests that it was recorded to send, and what it prints.

It ends with 0 whatever the tenant answers, and prints `null` for what it does not find in an answer.
"""

import getopt
import json
import os
import sys
from pathlib import Path

import httpx

command, *rest = sys.argv[1:]
with Path(os.environ["ABACO_CALLS"]).open("a") as calls:
    calls.write(f"{json.dumps(sys.argv[1:])}\n")
# the options of versions 1.1.0, 1.3.0 and 1.3.1; it prints its help on any other
options_of = {"create": "hn:H:e:E:pfsSuvz:AV", "update": "he:E:H:pfsSAuvz:V"}
found, operands = getopt.getopt(rest, options_of[command])
options = dict(found)
cache = json.loads((Path(os.environ["AGAVE_CACHE_DIR"]) / "current").read_text())
client = httpx.Client(
    base_url=f"{cache['baseurl']}/actors/v2",
    headers={"Authorization": f"Bearer {cache['access_token']}"},
)
description = {
    "image": operands[-1],
    "privileged": "-p" in options,
    "stateless": "-S" not in options,
    "force": "-f" in options,
    "useContainerUid": "-u" in options,
    "defaultEnvironment": json.loads(Path(options["-E"]).read_text()),
    # -A disables the tokens of an actor
    "token": "-A" not in options and "ABACO_WITHOUT_TOKENS" not in os.environ,
}
if command == "create":
    reply = client.post("", json={**description, "name": options["-n"]})
else:
    path = f"/{operands[0]}"
    description["stateless"] = client.get(path).json()["result"]["stateless"]
    reply = client.put(path, json=description)
result = reply.json()["result"] or {}
print(result.get("name", "null"), result.get("id", "null"))
