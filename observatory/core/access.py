"""Whether who asked for runs may still have them: a fact that is observed, and what follows.

The API server is asked when something is about to begin, and not before; see `runtime/reviews.py`.
"""

from __future__ import annotations

from enum import Enum, auto

from observatory.api.text import shorten
from observatory.core.model import Desired

NOT_ALLOWED = "RequesterNotAllowed"
NOT_CHECKED = "RequesterNotChecked"
_NAME_LENGTH = 256


class Access(Enum):
    """What is known of the right of the requester to create Pods."""

    NOT_ASKED = auto()
    """There is nothing to begin, or nobody is recorded: nothing is kept back."""
    ALLOWED = auto()
    DENIED = auto()
    """What is due is skipped, what is asked for is refused."""
    UNKNOWN = auto()
    """The API server gave no answer: nothing begins, and nothing is skipped, until it does."""


def not_allowed(desired: Desired) -> str:
    """Who may not have runs any more, and what to do about it."""
    return (
        f"{_who(desired)} asked for this and may not create Pods in namespace "
        f"{desired.key.namespace}; give back that right, or have somebody who has it edit the "
        "spec, or suspend and resume it"
    )


def not_checked(desired: Desired) -> str:
    """Whose right is not known, and what is being done about it."""
    return (
        f"waits for the API server to say whether {_who(desired)} may create Pods in "
        f"namespace {desired.key.namespace}; it is asked again and again. If it stays so, the "
        "operator's log has its answer, and manifests/rbac the rights that the operator needs"
    )


def _who(desired: Desired) -> str:
    return shorten(desired.requester.name if desired.requester else "nobody", _NAME_LENGTH)
