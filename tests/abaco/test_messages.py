from __future__ import annotations

from tests.abaco.running import Client


def test_a_message_is_run_by_a_process_of_its_own(ada: Client) -> None:
    actor = ada.actor("cold", name="echo")
    execution = ada.run(actor, {"print": "hello", "exit": 3})
    assert (execution["status"], execution["exitCode"]) == ("COMPLETE", 3)
    assert ada.logs(actor, execution["id"]) == "hello\n"


def test_a_sender_may_wait_for_the_result(ada: Client) -> None:
    for image in ("cold", "warm"):
        actor = ada.actor(image)
        reply = ada.ask(actor, {"results": ["tacos"]})
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.content == b"tacos"
        reply = ada.ask(actor, {"print": "no result"})
        assert reply.headers["content-type"].startswith("text/html")
        assert reply.text == "no result\n"
