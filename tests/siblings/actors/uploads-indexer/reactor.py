"""Index an upload, or each of those in a directory by a message to itself."""

import os
from random import shuffle

from attrdict import AttrDict
from datacatalog.agavehelpers import AgaveHelper, from_agave_uri
from datacatalog.managers.pipelinejobs.indexer import Indexer
from reactors.runtime import Reactor


def main():
    r = Reactor()
    m = AttrDict(r.context.message_dict)
    if not r.validate_message(m):
        r.on_failure("Invalid message")
    system, folder, name = from_agave_uri(m.uri)
    path = os.path.join(folder, name)
    ah = AgaveHelper(client=r.client)
    if ah.isfile(path):
        mgr = Indexer(mongodb=r.settings.mongodb, agave=r.client)
        try:
            mgr.index_if_exists(path, storage_system=system)
        except Exception as exc:
            r.on_failure("Not indexed: {}".format(m.uri), exc)
        r.on_success("Indexed {}".format(path))
    if not ah.exists(path):
        r.on_failure("Nothing is at {}".format(m.uri))
    found = ah.listdir(path, recurse=True, storage_system=system, directories=False)
    shuffle(found)
    for each in found:
        if r.local is False:
            r.send_message(r.uid, {"uri": "agave://" + system + each}, retryMaxAttempts=3)
    r.on_success("{} files to index".format(len(found)))


if __name__ == "__main__":
    main()
