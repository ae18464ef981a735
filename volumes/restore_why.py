"""What becomes of a volume in a restore, and the reasons for it, as words for machines."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Action(StrEnum):
    """What becomes of one volume."""

    RESTORE = "restore"
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"  # there is nothing to restore, or nowhere to restore it to
    REFUSED = "refused"  # it could be done, and must not
    EXCLUDED = "excluded"  # somebody wants it to be left alone


class Why(StrEnum):
    """The reason for an action, one word for machines."""

    EMPTY = "Empty"  # the claim has no volume yet, and its mover must find the one that it gets empty
    UNKNOWN = "Unknown"  # something may be in it: a mover looks first, and it is restored only when there is nothing
    OTHER_SNAPSHOT = "OtherSnapshot"  # another one is in it
    USED = "Used"  # a pod was seen on it since, so it may hold anything by now
    RESUMED = "Resumed"  # a restore did not end, or was not whole
    AGAIN = "Again"  # asked for, although this very snapshot is in it
    CONFIRMED = "Confirmed"  # asked for, whatever is in it
    PATH = "Path"  # a part of the volume was asked for

    SAME_SNAPSHOT = "SameSnapshot"
    SAME_DATA = "SameData"  # another snapshot of the same tree is in it

    NO_RECORD = "NoRecord"
    NO_SNAPSHOT = "NoSnapshot"
    MISSING = "Missing"
    NO_NAMESPACE = "NoNamespace"
    NOT_BOUND = "NotBound"
    LOST = "Lost"
    DELETING = "Deleting"
    BLOCK = "Block"
    UNREADABLE = "Unreadable"  # the claim in Git, and so whether it is excluded

    IN_USE = "InUse"
    BUSY = "Busy"
    OTHER_REPOSITORY = "OtherRepository"
    TWO_SOURCES = "TwoSources"
    TOO_SMALL = "TooSmall"
    HALF = "HalfRestored"
    NOT_WHOLE = "NotWhole"  # somebody restored into it what a partial backup got: nobody else undoes that

    EXCLUDED = "Excluded"


ACTIONS: Mapping[Why, Action] = {
    **dict.fromkeys(
        (Why.EMPTY, Why.UNKNOWN, Why.OTHER_SNAPSHOT, Why.USED, Why.RESUMED, Why.AGAIN, Why.CONFIRMED, Why.PATH),
        Action.RESTORE,
    ),
    **dict.fromkeys((Why.SAME_SNAPSHOT, Why.SAME_DATA), Action.UNCHANGED),
    **dict.fromkeys(
        (
            Why.NO_RECORD,
            Why.NO_SNAPSHOT,
            Why.MISSING,
            Why.NO_NAMESPACE,
            Why.NOT_BOUND,
            Why.LOST,
            Why.DELETING,
            Why.BLOCK,
            Why.UNREADABLE,
        ),
        Action.LEFT_OUT,
    ),
    **dict.fromkeys(
        (
            Why.IN_USE,
            Why.BUSY,
            Why.OTHER_REPOSITORY,
            Why.TWO_SOURCES,
            Why.TOO_SMALL,
            Why.HALF,
            Why.NOT_WHOLE,
        ),
        Action.REFUSED,
    ),
    Why.EXCLUDED: Action.EXCLUDED,
}
