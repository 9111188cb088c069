"""Markup by construction: `tag` builds elements, and every string that is not `Html` is escaped on its way in."""

import html
import re
from collections.abc import Iterable
from typing import Union

Attribute = str | int | float | bool | None
Child = Union[str, int, float, None, Iterable["Child"]]  # noqa: UP007 - a recursive alias needs the quoted form

VOID = frozenset({"meta", "br", "hr", "col"})
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class Html(str):
    """Text that is markup already and goes in as it is."""

    __slots__ = ()


EMPTY = Html("")


def escape(value: str | int | float) -> Html:
    """`value` as inert text; characters that no page can hold become the replacement character."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(UNPRINTABLE.sub("\ufffd", str(value)), quote=True))


def join(*children: Child) -> Html:
    """The children one after the other; iterables are flattened, None leaves nothing."""
    return Html("".join(_pieces(children)))


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str | int | float):
            yield escape(child)
        else:
            yield from _pieces(child)


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """One element. `cls` stands for class, `_` in a name for `-`; None and False leave an attribute out."""
    opening = f"<{name}{''.join(_attributes(attributes))}>"
    return Html(opening if name in VOID else f"{opening}{join(*children)}</{name}>")


def _attributes(attributes: dict[str, Attribute]) -> Iterable[str]:
    for key, value in attributes.items():
        name = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
        if value is True:
            yield f" {name}"
        elif value is not None and value is not False:
            yield f' {name}="{escape(value)}"'


def section(title: str, *children: Child, anchor: str, lead: Child = None) -> Html:
    """A landmark with a heading, found from the page's contents by its anchor."""
    heading = tag("h2", title, id=f"{anchor}-title")
    intro = tag("p", lead, cls="lead") if lead else None
    return tag("section", heading, intro, *children, id=anchor, aria_labelledby=f"{anchor}-title")


def details(summary: Child, *children: Child, cls: str | None = None, opened: bool = False) -> Html:
    """A part that opens on demand."""
    return tag("details", tag("summary", summary), *children, cls=cls, open=opened)


def prose(text: str, *, cls: str = "") -> Html:
    """A model's or a document's own words, in their own writing direction, with their line breaks."""
    return tag("div", text, cls=f"prose {cls}".strip(), dir="auto")


def scroller(table: Html, *, label: str) -> Html:
    """A table that scrolls sideways, by keyboard too, where the page is too narrow for it."""
    return tag("div", table, cls="scroller", role="region", aria_label=label, tabindex=0)
