from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
import xxhash

from datacatalog.managers.pipelinejobs.contents import describe
from tests.conftest import ROOT

SEED = 3759046909696704950


@pytest.mark.parametrize("content", [b"", b"tacos", bytes(range(256)) * 5000])
@pytest.mark.parametrize("length", [1000, 10**7])
def test_a_content_has_a_size_a_checksum_and_a_fingerprint(content: bytes, length: int) -> None:
    parts = [content[at : at + length] for at in range(0, len(content), length)]
    assert describe("/a.csv", parts) == {
        "size": len(content),
        "checksum": hashlib.sha256(content).hexdigest(),
        "fingerprint": xxhash.xxh64_hexdigest(content, seed=SEED),
        "type": "CSV",
    }


def test_one_part_at_a_time_is_in_memory() -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(1024 * 1024)

    tracemalloc.start()
    try:
        assert describe("/a.csv", parts())["size"] == 100 * 1024 * 1024
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_without_xxhash_there_is_no_fingerprint() -> None:
    code = """
import sys
sys.modules["xxhash"] = None
from datacatalog.managers.pipelinejobs.contents import describe
print(sorted(describe("/a.csv", [b"tacos"])))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['checksum', 'size', 'type']\n"
