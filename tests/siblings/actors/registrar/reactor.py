"""Register a pipeline, or change or hide one."""

import json

from attrdict import AttrDict
from datacatalog.linkedstores.basestore import strategies
from datacatalog.linkedstores.pipeline import (
    PipelineCreateFailure,
    PipelineStore,
    PipelineUpdateFailure,
)
from datacatalog.tokens import InvalidToken
from reactors.runtime import Reactor


def main():
    r = Reactor()
    m = AttrDict(r.context.message_dict)
    if r.validate_message(m) is False:
        r.on_failure("Invalid message: {}".format(m))
    token = r.context.get("token", m.get("token"))
    m.pop("token", None)

    store = PipelineStore(mongodb=r.settings.mongodb)
    try:
        if m.get("action") == "delete":
            store.delete_document(m.uuid, token=token, force=False)
            r.on_success("Hid pipeline {}".format(m.uuid))
        resp = store.add_update_document(
            m, uuid=r.context.get("uuid"), token=token, strategy=strategies.MERGE
        )
    except (PipelineCreateFailure, PipelineUpdateFailure, InvalidToken) as exc:
        r.on_failure("Pipeline was not written", exc)
    r.logger.info("the pipeline: {}".format(resp))
    r.send_result(json.dumps({name: resp[name] for name in ("uuid", "_update_token")}).encode())
    r.on_success("Wrote pipeline {}".format(resp["uuid"]))


if __name__ == "__main__":
    main()
