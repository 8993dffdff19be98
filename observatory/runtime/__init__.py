"""The loops: reflectors, workers, executor, elector, health, manager."""
