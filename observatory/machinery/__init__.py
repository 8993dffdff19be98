"""The state machines of a controller, without I/O. Pure."""
