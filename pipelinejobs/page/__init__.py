"""The page: what people see in a browser of jobs, and of the platform on which the actor runs.

`application` has the table of its addresses. Each has a handler, which gets a `Context` and returns a
reply; handlers of one noun are a module. What the platform knows is asked through its API, with the
token of whoever is signed in, so that its rules about who may do what hold here as well.
"""
