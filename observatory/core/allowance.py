"""What a run may have by the flags of the operator: how many active Pods, and why not more."""

from __future__ import annotations

from dataclasses import dataclass

from observatory.api.limits import RUN_FLAG, RUN_LIMIT


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many active Pods a run may have; None where nothing limits them.

    Attributes:
        run: The most at a time.
    """

    run: int | None = None


UNLIMITED = Allowance()


def limit_message(reason: str, limit: int) -> str:
    """A limit of Pods in words. The same ones as long as it stays: each wording is a write."""
    who, flag = _SCOPES[reason]
    return f"this operator lets {who} have {limit} active Pods ({flag}); goes on as others end"


_SCOPES = {RUN_LIMIT: ("a run", RUN_FLAG)}
