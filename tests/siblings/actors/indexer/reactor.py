"""Index the outputs of a job when the manager says so, and tell the manager when that is done."""

from attrdict import AttrDict
from datacatalog.linkedstores.pipelinejob.exceptions import JobError
from datacatalog.managers.pipelinejobs import ManagedPipelineJobError, ManagedPipelineJobInstance
from reactors.runtime import Reactor
from reactors.utils import microseconds


def main():
    r = Reactor()
    m = AttrDict(r.context.message_dict)
    r.logger.info("{} from {}".format(m, r.context.get("x_src_actor_id")))
    if not r.validate_message(m):
        r.on_failure("Invalid message")
    began = microseconds()
    try:
        job = ManagedPipelineJobInstance(r.settings.mongodb, m.uuid, agave=r.client)
        if m.name == "indexed":
            job.indexed(token=m.token)
            r.on_success("Job {} is indexed".format(m.uuid))
        paths = job.index(token=m.token)
    except (ManagedPipelineJobError, JobError, ValueError) as exc:
        r.on_failure("Job {} was not indexed".format(m.uuid), exc)
    r.logger.info("{} files in {} usec".format(len(paths), microseconds() - began))
    manager = r.resolve_actor_alias("manager")
    message = {"uuid": job.uuid, "name": "indexed", "token": m.token}
    if r.send_message(manager, message, retryMaxAttempts=3) is None:
        r.on_failure("Manager {} was not told".format(manager))
    r.on_success("Indexed {} in {}".format(", ".join(paths), job.archive_uri()))


if __name__ == "__main__":
    main()
