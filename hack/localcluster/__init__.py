"""Real Kubernetes clusters on this machine, for tests and demonstrations.

`hack/cluster` is the command; from Python, `cluster.up(Wish(...))` and `cluster.down(name)` do
the same. From what is low to what is high:

    errors, console, paths, lock              words, files
    venv, toolchain, build                    programs, built once and kept
    slot, state                               what belongs to which cluster
    processes, health, probe, launch          starting, asking, ending
    pki, users, controlplane                  the control plane
    packages, images, sandbox, containerd     where containers run
    kubelet, kwok, node                       what runs Pods, or pretends to
    local                                     all of these together
    kubectl, kind, external                   clusters that others make
    cluster, status, cli                      what people ask for and see
"""
