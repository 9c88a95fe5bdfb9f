"""Copy an upload from its bucket to the storage system, and have it indexed there."""

import os

from agavepy.agave import AgaveError
from attrdict import AttrDict
from datacatalog.agavehelpers import AgaveHelper, AgaveHelperException, to_agave_uri
from datacatalog.identifiers import abaco
from datacatalog.utils import safen_path
from reactors.runtime import Reactor, agaveutils, process


def main():
    r = Reactor()
    m = AttrDict(r.context.message_dict)
    if not r.validate_message(m):
        r.on_failure("Invalid message")
    ah = AgaveHelper(r.client)
    _, folder, name = agaveutils.from_tacc_s3_uri(m.uri)
    source = os.path.join(r.settings.s3.root, folder.lstrip("/"), name)
    path = safen_path(os.path.join("/uploads", folder.lstrip("/"), name), no_unicode=True)
    try:
        dest = ah.mapped_posix_path(path)
        ah.mkdir(os.path.dirname(path))
        resp = process.run(["cp", source, dest])
    except (AgaveHelperException, OSError) as exc:
        r.on_failure("Not copied: {}".format(m.uri), exc)
    if resp.return_code != 0:
        r.on_failure("Not copied: {}".format(resp.output))
    uri = to_agave_uri(ah.storage_system, os.path.dirname(path), os.path.basename(path))
    try:
        sent = r.send_message("uploads-indexer", {"uri": uri}, ignoreErrors=False)
        abaco.execid.validate(sent)
    except AgaveError as exc:
        r.on_failure("The indexer was not told", exc)
    r.on_success("Copied to {}".format(uri))


if __name__ == "__main__":
    main()
