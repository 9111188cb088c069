"""A module of the standard library as web pages: one for itself, one for each public class and function in it."""

import html
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .docstrings import docstring, scrub, summary_of, to_html

SITE = "https://docs.python.example/library"
MAX_SIGNATURE = 300


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page: its address and its HTML."""

    url: str
    html: str


def module_pages(module: types.ModuleType) -> Iterator[Page]:
    """The pages of a module, in the order of their names."""
    members = public_members(module)
    yield module_page(module, members)
    for name, member in members:
        title = f"{module.__name__}.{name}"
        if inspect.isclass(member):
            yield page(title, class_body(title, member), module.__name__)
            for method in documented_methods(member):
                inner = f"{title}.{method}"
                yield page(inner, function_body(inner, vars(member)[method]), module.__name__)
        else:
            yield page(title, function_body(title, member), module.__name__)


def topic_page(name: str, text: str) -> Page:
    """A chapter of the language reference; its title is the chapter's heading."""
    first, _, rest = scrub(text).strip().partition("\n")
    underlined = rest.startswith(("***", "===", "---"))
    title = first.replace('"', "") if underlined else name.replace("_", " ").capitalize()
    body = rest.partition("\n")[2] if underlined else text
    return page(title, [to_html(body)], "topics", address=f"{SITE}/topics/{name}.html")


def public_members(module: types.ModuleType) -> list[tuple[str, Any]]:
    """Classes and functions that a module offers as its own."""
    offered = getattr(module, "__all__", None)
    names = {str(name) for name in offered or vars(module) if not str(name).startswith("_")}
    members = ((name, getattr(module, name, None)) for name in sorted(names))
    return [
        (name, member)
        for name, member in members
        if (inspect.isclass(member) or inspect.isroutine(member)) and (offered or is_its_own(member, module.__name__))
    ]


def is_its_own(member: Any, module: str) -> bool:
    """Whether a member was made in the module, or in a private one on its behalf."""
    home = getattr(member, "__module__", None) or module
    return home == module or home.startswith("_") or home.split(".")[0] == module


def module_page(module: types.ModuleType, members: list[tuple[str, Any]]) -> Page:
    """The page of the module itself: its documentation, then what is in it."""
    text = docstring(module)
    body = [to_html(text)] if text else []
    for heading, chosen in (("Classes", inspect.isclass), ("Functions", inspect.isroutine)):
        rows = [(name, member) for name, member in members if chosen(member)]
        if rows:
            body += [f"<h2>{heading}</h2>", "<dl>", *(entry(module.__name__, *row) for row in rows), "</dl>"]
    return page(module.__name__, body, module.__name__)


def entry(module: str, name: str, member: Any) -> str:
    """One line of a module's table of contents."""
    link = f'<a href="{SITE}/{module}.{name}.html">{html.escape(name)}</a>'
    return f"<dt><code>{link}</code></dt><dd>{html.escape(summary_of(docstring(member)))}</dd>"


def function_body(title: str, function: Any) -> list[str]:
    """Summary, description and signature of a function."""
    return [to_html(docstring(function)), signature_html(title.rpartition(".")[2], function)]


def class_body(title: str, cls: type) -> list[str]:
    """Description and signature of a class, and what its methods do in a line each."""
    name = title.rpartition(".")[2]
    body = [to_html(docstring(cls)), signature_html(name, cls)]
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    if bases:
        body.append(f"<p>{name} is a kind of {html.escape(', '.join(bases))}.</p>")
    methods = documented_methods(cls)
    if methods:
        body += ["<h2>Methods and attributes</h2>", "<dl>"]
        body += [entry(title, method, vars(cls)[method]) for method in methods]
        body.append("</dl>")
    return body


def documented_methods(cls: type) -> list[str]:
    """Names of the public methods and attributes that a class itself documents."""
    return [
        name
        for name, member in sorted(vars(cls).items())
        if not name.startswith("_") and (inspect.isroutine(member) or is_described(member)) and docstring(member)
    ]


def is_described(member: Any) -> bool:
    """Whether the documentation of an attribute is its own and not that of the type of its value."""
    return inspect.isdatadescriptor(member) or isinstance(member, (classmethod, staticmethod))


def signature_html(name: str, thing: Any) -> str:
    """How something is called; "" where Python does not know."""
    target = getattr(thing, "__func__", thing)
    try:
        text = scrub(f"{name}{inspect.signature(target)}")
    except (ValueError, TypeError, AttributeError, NameError):
        return ""
    if len(text) > MAX_SIGNATURE:
        return ""
    return f"<pre><code>{html.escape(text)}</code></pre>"


def page(title: str, body: list[str], module: str, *, address: str | None = None) -> Page:
    """A whole page, with the navigation and the footer that pages of the web have."""
    safe = html.escape(title)
    content = "\n".join(part for part in body if part)
    return Page(
        url=address or f"{SITE}/{title}.html",
        html=f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{safe}</title></head>
<body>
<header><nav class="menu" role="navigation"><ul><li><a href="/">Home</a></li><li><a href="/library">Library</a></li>
<li><a href="/topics">Topics</a></li><li><a href="/search">Search</a></li></ul></nav></header>
<main><article>
<h1>{safe}</h1>
{content}
</article></main>
<aside class="sidebar"><ul><li><a href="{SITE}/{html.escape(module)}.html">{html.escape(module)}</a></li>
<li><a href="/genindex">Index</a></li><li><a href="/bugs">Report a bug</a></li></ul></aside>
<footer class="footer"><p>Copyright the authors. <a href="/privacy">Privacy</a>
<a href="/terms">Terms of use</a></p></footer>
</body>
</html>
""",
    )
