"""Reports: one plain HTML file that opens in any browser, prints well and needs no other file."""

import base64
import html
import io
from collections.abc import Iterable
from datetime import date

import matplotlib
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure

_CSS = """
body { font: 16px/1.5 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif;
       color: #222; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1em 0; font-size: 0.9em; }
th, td { padding: 0.3em 0.8em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #888; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } footer { margin-top: 3em; color: #666; font-size: 0.85em; }
@media print { body { max-width: none; margin: 0; font-size: 11pt; }
               h2 { break-after: avoid; } table, img { break-inside: avoid; } }
""".strip()

# Fonts with Chinese names of places, as Windows, macOS and Linux have them.
_CHINESE = ("Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "WenQuanYi Micro Hei", "SimHei")
_installed = set(font_manager.get_font_names())
matplotlib.rcParams["font.family"] = ["DejaVu Sans", *(name for name in _CHINESE if name in _installed)]


class Html(str):
    """Text that is HTML already and goes into a page as it is."""


def page(title: str, sections: Iterable[tuple[str, object]]) -> str:
    """A whole HTML page.

    Parameters
    ----------
    title : heading of the page.
    sections : pairs of a heading (may be empty) and its content: a text, a DataFrame, a matplotlib Figure, ``Html``,
        or a list of those. Texts are escaped and become paragraphs.
    """
    body = "\n".join(
        (f"<h2>{html.escape(heading)}</h2>\n" if heading else "") + _content(content) for heading, content in sections
    )
    title = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>\n{_CSS}\n</style>\n'
        f"</head>\n<body>\n<h1>{title}</h1>\n{body}\n"
        f"<footer>Carbon spatializer, {date.today().isoformat()}</footer>\n</body>\n</html>\n"
    )


def figure(fig: Figure) -> Html:
    """A matplotlib figure as an embedded PNG; its title, where it has one, is the text for screen readers."""
    stream = io.BytesIO()
    fig.savefig(stream, format="png", dpi=150)
    titles = [fig.get_suptitle(), *(axes.get_title() for axes in fig.axes)]
    text = html.escape("; ".join(filter(None, titles)) or "chart")
    return Html(f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode("ascii")}">')


def table(frame: pd.DataFrame, formats: dict[str, str] | None = None) -> Html:
    """A frame as an HTML table without its index.

    Parameters
    ----------
    frame : cells may be ``Html``; all else is escaped. Missing values are empty.
    formats : column -> format of its numbers, for example ``{"share": "{:.2f} %"}``; the default is ``{:,.6g}``.
    """
    formats = formats or {}
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) for name in frame}
    head = "".join(_cell("th", html.escape(str(name)), numeric[name]) for name in frame)
    columns = [
        [
            _cell("td", _value(value, formats.get(name, "{:,.6g}"), numeric[name]), numeric[name])
            for value in frame[name]
        ]
        for name in frame
    ]
    rows = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*columns))
    return Html(f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>")


def _content(content) -> str:
    if isinstance(content, Html):
        return content
    if isinstance(content, Figure):
        return figure(content)
    if isinstance(content, pd.DataFrame):
        return table(content)
    if isinstance(content, str):
        return f"<p>{html.escape(content)}</p>"
    return "\n".join(_content(part) for part in content)


def _cell(tag: str, text: str, is_number: bool) -> str:
    return f'<{tag} class="number">{text}</{tag}>' if is_number else f"<{tag}>{text}</{tag}>"


def _value(value, pattern: str, is_number: bool) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, Html):
        return value
    return html.escape(pattern.format(value) if is_number else str(value))
