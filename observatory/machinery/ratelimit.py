"""How long a key that failed has to wait: client-go's `ItemExponentialFailureRateLimiter`.

There is no overall token bucket beside it: with a thousand failing keys a bucket makes a key that
failed once wait for all the others (controller-runtime dropped it for that reason).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Generic, TypeVar

from observatory.api.jitter import fraction

K = TypeVar("K", bound=Hashable)


class RateLimiter(Generic[K]):
    """The failures of each key in a row, and the delay that they earn.

    The n-th delay lies in [d/2, d) for d = `base`·2ⁿ seconds, at most `cap`. client-go has no
    jitter: all keys that an outage of the API server failed come back in step, again and again.
    The jitter follows from the text of the key, so `str(key)` has to say which key it is.
    """

    def __init__(self, base: float = 0.005, cap: float = 60.0) -> None:
        self._base = base
        self._cap = cap
        self._doublings = math.ceil(math.log2(cap / base))  # more of them cannot matter
        self._failures: dict[K, int] = {}

    def when(self, key: K) -> float:
        """Count one more failure of `key` and return the seconds to wait before its next try."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2.0 ** 1024 overflows, and a key may fail for weeks.
        delay = min(self._cap, self._base * 2.0 ** min(failures, self._doublings))
        return delay * (1 + fraction(key, failures)) / 2

    def forget(self, key: K) -> None:
        """Start over with `key`: it succeeded, or nobody will try it again."""
        self._failures.pop(key, None)

    def num_requeues(self, key: K) -> int:
        """The failures of `key` since it was last forgotten."""
        return self._failures.get(key, 0)
