"""Checks of plain arguments that many functions share."""

from collections.abc import Iterable

from .errors import InputError


def one_of(value: str, known: Iterable[str], parameter: str) -> None:
    """Raise InputError when a value is none of the known ones."""
    known = list(known)
    if value not in known:
        raise InputError(parameter, f"'{value}' is unknown", f"Use one of {', '.join(known)}")


def between(value: float, low: float, high: float, parameter: str) -> None:
    """Raise InputError when a number lies outside its range (nan always does)."""
    if not low <= value <= high:
        raise InputError(parameter, f"{value:g} is not between {low:g} and {high:g}", f"Use {low:g} to {high:g}")


def at_least(value: float, least: float, parameter: str) -> None:
    """Raise InputError when a number is too small (nan always is)."""
    if not value >= least:
        raise InputError(parameter, f"{value:g} is less than {least:g}", f"Use {least:g} or more")
