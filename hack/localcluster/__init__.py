"""Real Kubernetes clusters on this machine, for tests and demonstrations.

`hack/cluster` is the command; from Python, `cluster.up`, `cluster.down` and `state.load` do the same.
From what is low to what is high:

    errors, console, lock, paths      words, output, files
    venv, build                       programs, built once and kept
    slot, state                       what belongs to which cluster
    processes, probe                  starting, checking, ending
    pki, users, controlplane          the control plane
    images, packages, network, sandbox, node     a node that runs containers
    kwok, kind, external              nodes that only pretend; clusters made by others
    cluster                           up and down
    status, cli                       what people see
"""
