"""Pieces of HTML for the report: tables, figures, lists. Text in, markup out."""

import math
from collections.abc import Iterable
from html import escape

DIGITS = 4
FEWEST_DIGITS = 2  # of the smallest number in a column


def words(name: str) -> str:
    """Return a column or option name as words: ``min_feret_diameter_nm`` has its unit apart."""
    return escape(name.replace("_", " "))


def number(text: str) -> str:
    """Return a measured number as text with four digits; other text is only escaped."""
    return _rounded([text])[0]


def numbers(column: list[str]) -> list[str]:
    """Return a column of numbers with equal decimals, four digits for the largest of them.

    If one would be left with fewer than two digits, all have four, and decimals of their own. Whole
    numbers stay so where all are; a column with other text is only escaped.
    """
    whole = all(text.lstrip("-").isdigit() for text in column if text)
    return column if whole else _rounded(column)


def _rounded(column: list[str]) -> list[str]:
    try:
        values = [abs(float(text)) for text in column if text]
    except ValueError:
        return [escape(text) for text in column]
    powers = [math.floor(math.log10(value)) for value in values if 0 < value < math.inf]
    power = max(powers, default=0)
    if power < -4:
        return [f"{float(text):.{DIGITS - 1}e}" if text else "" for text in column]
    decimals = max(DIGITS - 1 - power, 0)
    if min(powers, default=power) + decimals < FEWEST_DIGITS - 1:
        return [_rounded([text])[0] for text in column]
    return [f"{float(text):.{decimals}f}" if text else "" for text in column]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table from ready markup; wide ones scroll on their own."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
        for first, *others in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def plot(uri: str, description: str, css_class: str = "plot") -> str:
    """Return a plot as wide as the place it stands in; "plot curves" scrolls where it is narrow."""
    return f'<figure class="{css_class}"><img src="{uri}" alt="{escape(description)}"></figure>'


def picture(uri: str, name: str, caption: str) -> str:
    """Return a picture that a click enlarges; ``caption`` is ready markup."""
    return (
        f'<figure><button type="button" class="enlarge"><img src="{uri}" alt="{escape(name)}" '
        f'loading="lazy"></button><figcaption>{caption}</figcaption></figure>'
    )


def options_list(options: dict[str, object]) -> str:
    """Return options and their values in columns."""
    entries = "".join(
        f"<div><dt>{words(name)}</dt><dd>{escape(_plain(value))}</dd></div>"
        for name, value in options.items()
    )
    return f'<dl class="options">{entries}</dl>'


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(one)}" for key, one in value.items()) or "none"
    return str(value)


def section(title: str, *content: str) -> tuple[str, str]:
    """Return a section's anchor link and its markup; both empty where there is no content."""
    content = [one for one in content if one]
    if not content:
        return "", ""
    anchor = title.lower().replace(" ", "-")
    joined = "\n".join(content)
    return (
        f'<a href="#{anchor}">{escape(title)}</a>',
        f'<section><h2 id="{anchor}">{escape(title)}</h2>\n{joined}\n</section>',
    )
