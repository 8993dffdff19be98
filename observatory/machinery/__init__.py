"""The state machines of a controller, without I/O. Pure.

Each takes what happened and the time, and says what to do: as h11 is for HTTP. Loops in `runtime`
drive them, tests drive them without a loop. The six machines (store, listwatch, workqueue,
ratelimit, consistency, lease) do not know each other; messages, backoff, jitter and instant are
what they are made of.
"""
