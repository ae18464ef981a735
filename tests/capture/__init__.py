"""What a real API server and its controllers make of objects, captured for the tests and the reference.

`python -m tests.capture` starts a cluster and writes anew

    tests/unit/golden/captured/<case>/{raw,clean}.yaml   objects as they are read, and what is left of them
    docs/reference/types.md                              every built-in type, with what is cleaned and why

Run it for a new Kubernetes version and read the difference: what is new in a clean.yaml is what a rule must remove,
or what people may write now.
"""
