"""Launch the app of a pipeline on a sample, as the demonstration actors of SD2E do."""

import copy

from attrdict import AttrDict
from datacatalog.managers.pipelinejobs import ReactorManagedPipelineJob as Job
from reactors.runtime import Reactor, agaveutils
from requests.exceptions import HTTPError


def main():
    r = Reactor()
    r.logger.debug("the message: {}".format(r.context.raw_message))
    m = AttrDict(r.context.message_dict)
    if not r.validate_message(m):
        r.on_failure("Invalid message")

    try:
        job = Job(
            r,
            data={"inputs": m.inputs, "parameters": m.parameters},
            sample_id=m.sample_id,
            archive_patterns=m.archive_patterns,
            product_patterns=m.product_patterns,
            agave=r.client,
            options=r.settings.get("options"),
        )
        job.setup(data={"message": r.context.execution_id})
    except Exception as exc:
        r.on_failure("Failed to set up the job", exc)
    r.logger.info(
        "Job {} of session {} reports to {}".format(job.uuid, job.session, job.build_webhook())
    )

    agave_job = copy.deepcopy(r.settings.agavejob)
    agave_job.name = "{}-{}".format(r.nickname, job.session)
    for name, uri in zip(("first", "second"), m.inputs):
        agave_job.inputs[name] = uri
    agave_job.parameters.update(m.parameters)
    agave_job.archivePath = job.archive_path
    agave_job.archiveSystem = job.archive_system
    agave_job.notifications = [
        {"event": "RUNNING", "persistent": True, "url": job.callback + "&status=${JOB_STATUS}"},
        {"event": "FINISHED", "persistent": False, "url": job.callback + "&status=FINISHED"},
        {"event": "FAILED", "persistent": False, "url": job.callback + "&status=FAILED"},
    ]
    if m.get("app"):
        agave_job.appId = m.app

    try:
        resp = r.client.jobs.submit(body=agave_job)
        job.run({"launched": resp["id"], "response": resp})
    except HTTPError as h:
        reason = agaveutils.process_agave_httperror(h)
        if job.cancelable:
            job.cancel()
        r.on_failure("Failed to launch {}: {}".format(agave_job.appId, reason))
    except Exception as exc:
        job.fail({"reason": str(exc)})
        r.on_failure("Failed to launch {}".format(agave_job.appId), exc)
    r.loggers.slack.info("launched {}".format(resp.id))
    r.on_success("Launched {} as {} in {} usec".format(job.uuid, resp.id, r.elapsed()))


if __name__ == "__main__":
    main()
