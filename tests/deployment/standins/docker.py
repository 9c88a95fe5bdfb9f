"""Notes what docker is asked, and answers as it does. It has what DOCKER_IMAGES lists."""

import json
import os
import sys
from pathlib import Path

arguments = sys.argv[1:]
with Path(os.environ["DOCKER_CALLS"]).open("a") as calls:
    calls.write(f"{json.dumps(arguments)}\n")
if arguments[:2] == ["image", "inspect"]:
    name = arguments[-1]
    if name not in os.environ.get("DOCKER_IMAGES", "").split():
        sys.exit(f"Error response from daemon: No such image: {name}")
    answers = {
        "{{index .RepoDigests 0}}": f"{name.partition(':')[0]}@sha256:{'0' * 64}",
        "{{.Size}}": os.environ.get("DOCKER_SIZE", "180000000"),
        "{{.Id}}": f"sha256:{'1' * 64}",
    }
    print(answers[arguments[3]])
sys.exit(3 if arguments[0] == os.environ.get("DOCKER_FAILS") else 0)
