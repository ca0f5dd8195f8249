"""Units at the edges: inside, emissions are tonnes CO2e per year and areas are square metres."""

from .errors import InputError

# Factor to the dimension's base unit. Spellings are matched without case and blanks.
_UNITS = {
    # mass, base t
    "g": ("mass", 1e-6),
    "kg": ("mass", 1e-3),
    "t": ("mass", 1.0),
    "kt": ("mass", 1e3),
    "10^4 t": ("mass", 1e4),
    "Mt": ("mass", 1e6),
    "10^8 t": ("mass", 1e8),
    # volume, base m3
    "L": ("volume", 1e-3),
    "m3": ("volume", 1.0),
    "10^4 m3": ("volume", 1e4),
    "10^8 m3": ("volume", 1e8),
    # energy, base MWh
    "kWh": ("energy", 1e-3),
    "MWh": ("energy", 1.0),
    "GWh": ("energy", 1e3),
    "TWh": ("energy", 1e6),
    "10^4 kWh": ("energy", 10.0),
    "10^8 kWh": ("energy", 1e5),
    "MJ": ("energy", 1 / 3600),
    "GJ": ("energy", 1 / 3.6),
    "TJ": ("energy", 1e3 / 3.6),
    "tce": ("energy", 29.3076 / 3.6),
    "10^4 tce": ("energy", 293076 / 3.6),
    # area, base m2
    "m2": ("area", 1.0),
    "mu": ("area", 10000 / 15),
    "ha": ("area", 1e4),
    "km2": ("area", 1e6),
    # counts, base 1
    "1": ("count", 1.0),
    "head": ("count", 1.0),
    "person": ("count", 1.0),
    "10^4 head": ("count", 1e4),
    "10^4 person": ("count", 1e4),
    # transport, base tkm, pkm, vkm
    "tkm": ("freight turnover", 1.0),
    "10^4 tkm": ("freight turnover", 1e4),
    "10^8 tkm": ("freight turnover", 1e8),
    "pkm": ("passenger turnover", 1.0),
    "10^4 pkm": ("passenger turnover", 1e4),
    "10^8 pkm": ("passenger turnover", 1e8),
    "vkm": ("vehicle distance", 1.0),
    "10^4 vkm": ("vehicle distance", 1e4),
    "10^8 vkm": ("vehicle distance", 1e8),
}

# Other spellings of the same signs, replaced in this order before the look-up.
_SPELLINGS = {
    "⁴": "^4",
    "⁸": "^8",
    "²": "2",
    "³": "3",
    "×": "",
    "·": "",
    "_": "",
    " ": "",
    "万": "10^4",
    "亿": "10^8",
    "吨": "t",
    "千瓦时": "kwh",
    "立方米": "m3",
    "公顷": "ha",
    "hm2": "ha",
    "亩": "mu",
    "头": "head",
    "人": "person",
    "10000": "10^4",
    "10,000": "10^4",
}


def _key(unit: str) -> str:
    """Spelling used for the look-up: no blanks, no case, no CO2 suffix."""
    text = str(unit).lower()
    for sign, plain in _SPELLINGS.items():
        text = text.replace(sign, plain)
    for suffix in ("co2e", "co2eq", "co2"):
        if text.endswith(suffix) and text != suffix:
            return text[: -len(suffix)]
    return text


_BY_KEY = {_key(name): entry for name, entry in _UNITS.items()}


def known_units(dimension: str | None = None) -> list[str]:
    """Names of the units that are understood, of one dimension or of all."""
    return [name for name, (kind, _) in _UNITS.items() if dimension in (None, kind)]


def dimension(unit: str, parameter: str = "unit") -> str:
    """Dimension of a unit, for example ``mass``; raises InputError on an unknown unit."""
    return _lookup(unit, parameter)[0]


def factor(unit: str, to: str, parameter: str = "unit") -> float:
    """Number by which an amount in ``unit`` is multiplied to be in ``to``.

    Raises
    ------
    InputError : the unit is unknown, or the two measure different things.
    """
    kind, scale = _lookup(unit, parameter)
    to_kind, to_scale = _lookup(to, parameter)
    if kind != to_kind:
        raise InputError(
            parameter,
            f"unit '{unit}' measures {kind}, but '{to}' measures {to_kind}",
            f"Give the amount in one of {', '.join(known_units(to_kind))}",
        )
    return scale / to_scale


def _lookup(unit: str, parameter: str) -> tuple[str, float]:
    try:
        return _BY_KEY[_key(unit)]
    except KeyError:
        raise InputError(parameter, f"unit '{unit}' is unknown", f"Use one of {', '.join(_UNITS)}") from None
