"""Errors that speak the user's words: what was expected, what came, what to type instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in the input. The command line prints its message as one line and exits with code 2."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a misspelt name: the closest of `choices` if one is near, and always the whole list.

    >>> nearest("loihy", ["loihi", "speck"])
    "did you mean 'loihi'? There are: loihi, speck"
    """
    known = sorted(choices)
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    names = ", ".join(name or "''" for name in known)
    return f"{hint}There are: {names}"
