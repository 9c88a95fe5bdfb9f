"""Jobs, pipelines and what they refer to, kept in MongoDB.

`identifiers` and `tokens` are pure functions, `linkedstores` talks to the database, `managers` puts
the stores together for the actors that create and follow jobs.
"""
