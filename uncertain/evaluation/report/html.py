"""HTML as text, escaped by construction: names of classes, models and paths are hostile until shown.

Every string of the user's passes through :func:`text`, :func:`name` or :func:`element`'s attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

# What XML 1.0 forbids: control characters, lone surrogates (undecodable paths), non-characters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LONGEST = 120
_VOID = frozenset({"img", "br", "hr", "meta"})

Attributes = Mapping[str, str | int | float | None]


def clean(value: object, *, longest: int = _LONGEST) -> str:
    r"""Return text that XML can hold, its middle left out where it is very long.

    Example:
        >>> clean("a\x00b"), clean("x" * 200, longest=9)
        ('a�b', 'xxxx…xxxx')
    """
    cleaned = _FORBIDDEN.sub("\ufffd", str(value))
    if len(cleaned) <= longest:
        return cleaned
    half = (longest - 1) // 2
    return f"{cleaned[: longest - 1 - half]}…{cleaned[len(cleaned) - half :]}"


def text(value: object, *, longest: int = _LONGEST) -> str:
    """Return text, escaped for content and attributes.

    Example:
        >>> text("<script>")
        '&lt;script&gt;'
    """
    return escape(clean(value, longest=longest), quote=True)


def name(value: object) -> str:
    """Return a user's name, isolated so that right-to-left letters stay within it.

    Example:
        >>> name("a<b")
        '<bdi>a&lt;b</bdi>'
    """
    return f"<bdi>{text(value)}</bdi>"


def element(tag: str, content: str = "", attributes: Attributes | None = None) -> str:
    """Return an element; ``content`` is HTML already, attributes are escaped, ``None`` is left out.

    Numbers are written in full: reading them back gives the same float.

    Example:
        >>> element("td", "0.9", {"data-value": 0.9, "title": '"'})
        '<td data-value="0.9" title="&quot;">0.9</td>'
    """
    written = "".join(
        f' {key}="{_attribute(value)}"'
        for key, value in (attributes or {}).items()
        if value is not None
    )
    return f"<{tag}{written}/>" if tag in _VOID else f"<{tag}{written}>{content}</{tag}>"


def _attribute(value: str | int | float) -> str:
    return text(value, longest=100_000) if isinstance(value, str) else repr(value)


def paragraph(content: str, css: str | None = None) -> str:
    """Return a paragraph of HTML content."""
    return element("p", content, {"class": css})


def join_names(names: Sequence[str], *, most: int = 6) -> str:
    """Return names as a phrase, the last ones counted where there are many.

    Example:
        >>> join_names(["a", "b"]), join_names(list("abcdefgh"), most=3)
        ('<bdi>a</bdi> and <bdi>b</bdi>', '<bdi>a</bdi>, <bdi>b</bdi> and 6 others')
    """
    shown = [name(n) for n in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(names) - most + 1} others"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def details(summary: str, content: str) -> str:
    """Return a block that opens on request, without a script."""
    return element("details", element("summary", summary) + content)


def data_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a plain table of text cells: what a plot shows, for those who don't see it."""
    head = "".join(element("th", text(cell), {"scope": "col"}) for cell in header)
    body = "".join(
        element("tr", "".join(element("td", text(cell)) for cell in row)) for row in rows
    )
    table = (
        element("caption", text(caption), {"class": "sr"})
        + element("thead", element("tr", head))
        + element("tbody", body)
    )
    region: Attributes = {
        "class": "scroll",
        "tabindex": 0,
        "role": "region",
        "aria-label": clean(caption),
    }
    return element("div", element("table", table, {"class": "plain"}), region)
