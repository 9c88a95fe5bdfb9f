"""What `make audit` and `make mutate` look at: dependencies, code, secrets, and the tests themselves."""
