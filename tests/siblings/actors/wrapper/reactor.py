"""Launch the job that a message defines, as a managed one whose outputs have a place of their own."""

from attrdict import AttrDict
from datacatalog.linkedstores.pipelinejob.exceptions import JobCreateFailure
from datacatalog.managers.pipelinejobs import ManagedPipelineJob, ManagedPipelineJobError
from reactors.runtime import Reactor, agaveutils


def main():
    r = Reactor()
    m = r.context.message_dict
    try:
        r.validate_message(m, messageschema="/message.jsonschema", permissive=False)
    except Exception as exc:
        r.on_failure("Invalid message", exc)
    job_def = AttrDict(m.job_definition)

    inputs = {name: uri for each in m.inputs for name, uri in each.items()}
    system, folder, _ = agaveutils.from_agave_uri(sorted(inputs.values())[0])
    r.logger.info("The first input is in {} on {}".format(folder, system))
    job_def["inputs"] = dict(job_def.get("inputs", {}), **inputs)
    job_def["parameters"] = dict(job_def.get("parameters", {}), **m.get("parameters", {}))

    try:
        job = ManagedPipelineJob(
            r.settings.mongodb,
            r.settings.pipelines,
            True,
            r.client,
            experiment_id=[each.id for each in m.experiments],
            data=job_def,
            session=r.session,
            agent=r.uid,
            task=r.execid,
            inputs=list(inputs.values()),
            archive_system=r.settings.archive.system,
            archive_patterns=m.archive_patterns,
            api_server=r.api_server,
        ).setup()
    except (ManagedPipelineJobError, JobCreateFailure, ValueError) as exc:
        r.on_failure("Not a job", exc)

    job_def.archive = True
    job_def.archivePath = job.archive_path
    job_def.archiveSystem = job.archive_system
    job_def.notifications = job.agave_notifications()
    job.update({"submitting": job_def.appId})
    try:
        launched = r.client.jobs.submit(body=job_def).get("id")
    except Exception as exc:
        job.fail({"reason": agaveutils.process_agave_httperror(exc)})
        r.on_failure("Not launched: {}".format(job.uuid))
    job.resource({"launched": launched, "to": job.archive_uri()})
    r.on_success("{} will write to {}".format(launched, job.archive_uri()))


if __name__ == "__main__":
    main()
