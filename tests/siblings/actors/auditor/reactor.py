"""Look whether a job has written what it was to write; if not, reset it and run it again."""

import copy
import json

import requests
from attrdict import AttrDict
from datacatalog import linkedstores
from datacatalog.agavehelpers import AgaveHelper
from reactors.utils import Reactor, agaveutils


def rerun(r, job_uuid):
    from datacatalog.managers.pipelinejobs.jobmanager import JobManager
    from datacatalog.tokens import get_admin_token

    job = JobManager(r.settings.mongodb, agave=r.client).load(job_uuid)
    atoken = get_admin_token(r.context["CATALOG_ADMIN_TOKEN_KEY"])
    job.reset(token=atoken)
    try:
        job.ready(token=atoken)
    except Exception as e:
        r.logger.info("{} is {}: {}".format(job_uuid, job.state, e))
    job.run({"launched": "again"})


def main():
    r = Reactor()
    context = r.context
    r.logger.debug(json.dumps(context, indent=4))
    m = context.message_dict
    if not r.validate_message(m):
        r.on_failure("Invalid message")
    if "__options" in m:
        r.settings = r.settings + AttrDict(m.get("__options", {}).get("settings", {}))
    opts = copy.copy(r.settings.options)
    opts["force"] = getattr(opts, "force", False)

    token = agaveutils.get_api_token(r.client)
    url = "{}/jobs/v2/{}/history".format(agaveutils.get_api_server(r.client), m["id"])
    headers = {"Authorization": "Bearer {}".format(token)}
    history = requests.get(url, headers=headers, timeout=20).json()

    store = linkedstores.pipelinejob.PipelineJobStore(r.settings["mongodb"])
    job = store.find_one_by_uuid(context.mpjId)
    runs = [each for each in job["history"] if each.get("data", {}).get("launched")]
    ah = AgaveHelper(r.client)
    missing = [
        name
        for name in opts.wanted
        if not ah.isfile("{}/{}".format(job["archive_path"], name), job["archive_system"])
    ]
    if not missing and not opts["force"]:
        r.on_success("{} events, nothing is missing".format(len(history["result"])))
    if len(runs) >= opts["max_retries"]:
        r.on_failure("{} was launched {} times".format(context.mpjId, len(runs)))
    rerun(r, context.mpjId)
    r.on_success("{} runs again, without {}".format(context.mpjId, ", ".join(missing)))


if __name__ == "__main__":
    main()
