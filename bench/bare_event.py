"""What the actor is measured against: import the driver and YAML, read the job, update it.

It checks nothing and refuses nothing. Its argument is the job's uuid, the URI is in `MONGODB`. With
`quick` behind it, it ends without waiting for the driver's threads, as the actor does.
"""

from __future__ import annotations

import datetime
import os
import sys

import pymongo
import yaml
from pymongo.write_concern import WriteConcern

settings = yaml.safe_load("mongodb: {database: bench}")
client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(os.environ["MONGODB"])
jobs = client[settings["mongodb"]["database"]].get_collection(
    "jobs", write_concern=WriteConcern("majority", j=True)
)
job = jobs.find_one({"uuid": sys.argv[1]})
moment = datetime.datetime.now(datetime.timezone.utc)
jobs.update_one(
    {"uuid": sys.argv[1]},
    {
        "$set": {"state": "RUNNING", "last_event": "update", "updated": moment},
        "$push": {"history": {"$each": [{"date": moment, "name": "update"}], "$slice": -24}},
        "$inc": {"_properties.revision": 1},
    },
)
if sys.argv[2:] == ["quick"]:
    os._exit(0)
