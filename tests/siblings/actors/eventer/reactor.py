"""Apply events to jobs by the store itself, as managers of jobs did before."""

import json

from attrdict import AttrDict
from datacatalog import tokens
from datacatalog.identifiers import typeduuid
from datacatalog.linkedstores.pipelinejob import PipelineJobStore
from datacatalog.linkedstores.pipelinejob.exceptions import UnknownJob
from datacatalog.managers.pipelinejobs import ManagedPipelineJobError, ManagedPipelineJobInstance
from reactors.runtime import Reactor


def main():
    r = Reactor()
    m = AttrDict(r.context.message_dict)
    if not r.validate_message(m):
        r.on_failure("Invalid message")
    job_uuid = typeduuid.listify_uuid(m.uuid)[0]
    store = PipelineJobStore(mongodb=r.settings.mongodb, agave=r.client)
    assert set(store.schema["required"]) <= set(store.find_one_by_uuid(job_uuid) or {}), store.name

    try:
        job = ManagedPipelineJobInstance(r.settings.mongodb, "urn:uuid:" + job_uuid, agave=r.client)
    except ValueError as exc:
        r.on_failure("Unknown job", exc)
    told = {"before": [job.state, job.last_event]}
    try:
        if m.name == "reset":
            admin = tokens.get_admin_token(tokens.get_admin_key())
            resp = job.reset(no_clear_path=True, token=admin, permissive=True)
        elif m.name == "index":
            paths = job.index(token=m.token, transition=False, level="1", fixity=False)
            told["listed"] = job.list_job_archive_path() == paths
            resp = job.indexed(token=m.token)
        elif m.get("by_store"):
            event = {"uuid": job_uuid, "name": m.name, "data": m.get("data", {}), "token": m.token}
            resp = store.handle(event, "null")
        else:
            resp = job.handle({"uuid": job_uuid, "name": m.name, "data": m.get("data")}, m.token)
    except UnknownJob as exc:
        r.on_failure("The job is gone", exc)
    except ManagedPipelineJobError as exc:
        r.on_failure("Event {} was not applied".format(m.name), exc)
    store.write_key(job_uuid, "label", "{} by {}".format(m.name, r.nickname), m.token)
    told.update(state=resp["state"], drawn=len(store.fsm_state_png(job_uuid)) > 1000)
    r.send_result(json.dumps(told).encode())
    r.on_success("Applied {} to {} in {} usec".format(m.name, job_uuid, r.elapsed()))


if __name__ == "__main__":
    main()
