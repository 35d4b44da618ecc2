"""Exceptions of the libraries that ours are made of, one of each, to see that none of them leaks out."""

from __future__ import annotations

import errno


def kinds(*bases: type[BaseException]) -> list[type[BaseException]]:
    """These and all that derive from them, as far as they stand in the same library or in Python itself."""
    found: dict[type[BaseException], None] = {}
    for base in bases:
        library = base.__module__.partition(".")[0]
        below = [one for one in base.__subclasses__() if one.__module__.partition(".")[0] == library]
        found |= dict.fromkeys([base, *kinds(*below)])
    return list(found)


def name(one: type[BaseException]) -> str:
    """For the test's id."""
    return f"{one.__module__}.{one.__qualname__}"


def bare(kind: type[Exception]) -> Exception:
    """One of these, without what its constructor wants, but with what those who look at such an error find in it."""
    system = issubclass(kind, OSError)
    error = kind.__new__(kind, errno.ECONNREFUSED, "no") if system else kind.__new__(kind)
    error.verify_message = ""  # type: ignore[attr-defined]  # of certificates
    return error
