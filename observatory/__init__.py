"""The Observatory Operator: DAGs of container tasks, written as Kubernetes objects."""

__version__ = "0.1.0"
