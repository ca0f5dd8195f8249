"""Classes of a classification, the class that a value of a class field means, and rules from titles and keywords."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import InputError

# Words that titles share and that say nothing about the industry.
_EMPTY_WORDS = frozenset(
    [
        *(
            "and",
            "the",
            "for",
            "other",
            "others",
            "related",
            "allied",
            "miscellaneous",
            "general",
            "special",
            "purpose",
        ),
        *("product", "products", "production", "manufacture", "manufacturing", "processing", "industry", "activities"),
        *("support", "articles", "equipment", "materials", "from"),
    ]
)
_EMPTY_ENDINGS = re.compile("(制造业|加工业|制品业|加工|制品|制造|修理业|业)$")
_SEPARATORS = re.compile("[、，,和及与其]|其他")
# Legal forms fill half of a Chinese company's name and say nothing about what it makes.
_LEGAL_FORM = re.compile("(集团)?(股份)?有限(责任)?公司|股份公司")
_FIELDS = ("code", "title", "other_title", "manufacturing", "pattern", "keywords")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff]")


def clean(names) -> list[str]:
    """Names as they are compared and classified; missing ones are ''.

    Compatibility forms are unified, letters are lower case, blanks are single, and Chinese legal forms are left out
    unless nothing else is there.
    """
    texts = pd.Series(names, dtype="string").fillna("")
    unified = [" ".join(unicodedata.normalize("NFKC", text).lower().split()) for text in texts]
    return [_LEGAL_FORM.sub("", text).strip() or text for text in unified]


@dataclass(frozen=True)
class Taxonomy:
    """Classes in a fixed order.

    Attributes
    ----------
    codes, titles : of each class.
    other_titles : in a second language, '' where there is none.
    manufacturing : whether a class is manufacturing.
    patterns : regular expression of further values that mean the class, '' where only code and titles do.
    keywords : words of each class's groups and products.
    """

    codes: tuple[str, ...]
    titles: tuple[str, ...]
    other_titles: tuple[str, ...]
    manufacturing: tuple[bool, ...]
    patterns: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]

    @classmethod
    def from_table(cls, table: pd.DataFrame, parameter: str = "taxonomy") -> "Taxonomy":
        """Read a table with ``code`` and ``title`` (or ``title_en``, ``title_zh``).

        Its columns ``manufacturing`` (yes or no), ``pattern`` and ``keywords`` (parted by ``|``) are optional.

        Raises
        ------
        InputError : no code or title column, a code twice or blank, fewer than two classes, or a broken pattern.
        """
        table = table.fillna("").astype(str).apply(lambda column: column.str.strip())
        titles = [name for name in ("title", "title_en", "title_zh") if name in table]
        if "code" not in table or not titles:
            raise InputError(parameter, f"it has the columns {', '.join(table)}", "It needs the columns code and title")
        codes = table["code"]
        if len(codes) < 2:
            raise InputError(parameter, f"it has {len(codes)} class", "Give at least two classes")
        if (codes == "").any() or codes.duplicated().any():
            bad = codes[codes.duplicated() | (codes == "")].iloc[0]
            raise InputError(parameter, f"the code '{bad}' is blank or occurs twice", "Give every class its own code")
        blank = pd.Series("", index=table.index)
        patterns = table.get("pattern", blank)
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(
                    parameter, f"the pattern '{pattern}' is no regular expression ({error})", "Correct it"
                ) from None
        is_manufacturing = ~table.get("manufacturing", blank).str.lower().isin({"no", "false", "0", "n", "f"})
        return cls(
            tuple(codes),
            tuple(table[titles[0]]),
            tuple(table[titles[1]] if len(titles) > 1 else blank),
            tuple(map(bool, is_manufacturing)),
            tuple(patterns),
            tuple(tuple(filter(None, map(str.strip, words.split("|")))) for words in table.get("keywords", blank)),
        )

    @classmethod
    def from_values(cls, values) -> "Taxonomy":
        """The values of a class field as classes of their own, all of them manufacturing."""
        codes = tuple(sorted({str(value).strip() for value in values if pd.notna(value) and str(value).strip()}))
        blank = ("",) * len(codes)
        return cls(codes, codes, blank, (True,) * len(codes), blank, ((),) * len(codes))

    def classes(self, values, parameter: str = "class_field") -> np.ndarray:
        """Index of the class that each value means, -1 for missing values.

        A value means a class when it is its code or one of its titles, or when it begins with the class's pattern and
        no letter or digit follows. The first class that fits wins.

        Raises
        ------
        InputError : a value means no class.
        """
        texts = pd.Series(values).astype("string").fillna("").str.strip()
        distinct = texts.unique()
        found = {value: self._class(value) for value in distinct}
        unknown = [value for value in distinct if found[value] is None]
        if unknown:
            raise InputError(
                parameter,
                f"the class '{unknown[0]}' is not in the taxonomy"
                + (f" ({len(unknown)} such values in all)" if len(unknown) > 1 else ""),
                f"Use its codes ({', '.join(self.codes[:3])}, ...), another taxonomy, or the field's own values",
            )
        return texts.map(found).to_numpy(dtype=int)

    def _class(self, value: str) -> int | None:
        if not value:
            return -1
        lowered = value.lower()
        for index, names in enumerate(zip(self.codes, self.titles, self.other_titles)):
            if lowered in (name.lower() for name in names if name):
                return index
        for index, pattern in enumerate(self.patterns):
            if pattern and re.match(rf"(?:{pattern})(?![0-9A-Za-z])", value):
                return index
        return None

    def subset(self, kept) -> "Taxonomy":
        """The taxonomy with only the classes at these places."""
        return Taxonomy(*(tuple(values[index] for index in kept) for values in vars(self).values()))

    def records(self) -> list[dict]:
        """The classes as JSON; ``from_records`` reads them back."""
        return [dict(zip(_FIELDS, values)) for values in zip(*vars(self).values())]

    @classmethod
    def from_records(cls, records: list[dict]) -> "Taxonomy":
        """The taxonomy from ``records``."""
        return cls(*(tuple(record[name] for record in records) for name in _FIELDS))

    def examples(self) -> tuple[list[str], np.ndarray]:
        """Titles and keywords as names whose class is known: what a classifier can learn without any label."""
        pairs = {}
        for index, (code, *titles) in enumerate(zip(self.codes, self.titles, self.other_titles)):
            words = [title for title in titles if title not in ("", code)]
            pairs |= {name: index for name in clean([*words, *self.keywords[index]]) if name not in pairs}
        return list(pairs), np.array(list(pairs.values()), dtype=int)


def keyword_rules(taxonomy: Taxonomy, names: list[str], otherwise: int) -> np.ndarray:
    """Class of each name by the longest word of a class title, or keyword, that it holds; ``otherwise`` where none.

    Chinese titles are taken apart at their conjunctions; English words match by their stem of at least five letters.
    """
    rules: dict[str, int] = {}
    for index, titles in enumerate(zip(taxonomy.titles, taxonomy.other_titles)):
        for keyword in [word for title in titles for word in _keywords(title)] + list(taxonomy.keywords[index]):
            rules.setdefault(keyword.lower(), index)
    if not rules:
        return np.full(len(names), otherwise)
    ordered = sorted(rules, key=len, reverse=True)
    pattern = re.compile("|".join(_rule(keyword) for keyword in ordered))
    result = np.full(len(names), otherwise)
    for place, name in enumerate(names):
        matches = [match.group().lower() for match in pattern.finditer(name.lower())]
        if matches:
            result[place] = rules[max(matches, key=len)]
    return result


def _rule(keyword: str) -> str:
    return re.escape(keyword) if _IDEOGRAPH.search(keyword) else rf"\b{re.escape(keyword)}"


def _keywords(title: str) -> list[str]:
    if _IDEOGRAPH.search(title):
        parts = (_EMPTY_ENDINGS.sub("", part) for part in _SEPARATORS.split(title))
        return [part for part in parts if len(part) >= 2]
    words = re.findall(r"[a-z]{4,}", title.lower())
    return [word[: max(5, len(word) - 3)] for word in words if word not in _EMPTY_WORDS]
