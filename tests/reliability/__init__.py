"""What must hold after every fault and under every load: I1 to I8, checked by `checker`.

A test has a short form, which `make test` runs, and a long one, which `make soak` runs.
"""
