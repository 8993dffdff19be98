"""A Kubernetes in memory, and the operator run against it under a virtual clock."""
