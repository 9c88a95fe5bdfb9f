"""The pipeline of the demonstrations."""

from __future__ import annotations

ACTOR_ID = "G56vjoAVzGkkq"
TACOBOT = {
    "name": "Tacobot 9000",
    "description": "Builds tacos to order",
    "id": "tacobot:9000",
    "components": [
        {"id": ACTOR_ID, "image": "index.docker.io/tacc/tacobot:latest", "options": {}},
        {"id": "bbq-brisket-0.5.0", "inputs": {}, "parameters": {"smoke": True}},
    ],
    "processing_levels": ["1"],
}
