// The user of the actor, who may do everything in the catalog and nothing elsewhere.
const password = require("fs").readFileSync("/run/secrets/mongodb-jobs", "utf8").trim();
db.getSiblingDB("catalog").createUser({
  user: "jobs",
  pwd: password,
  roles: [{ role: "dbOwner", db: "catalog" }],
});
