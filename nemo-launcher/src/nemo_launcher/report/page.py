"""The sections put into one page that needs nothing else: style and script are inside."""

import base64
import hashlib
from importlib.resources import files

from .markup import Html, join, tag
from .sections import (
    answers,
    artifacts,
    documents,
    endpoint,
    evaluation,
    failures,
    learning,
    next_steps,
    pipeline,
    provenance,
    summary,
)
from .view import Run

SECTIONS = (
    ("failures", "What went wrong", failures.render),
    ("pipeline", "Pipeline", pipeline.render),
    ("documents", "Documents", documents.render),
    ("learning", "Learning", learning.render),
    ("evaluation", "Evaluation", evaluation.render),
    ("answers", "Answers", answers.render),
    ("endpoint", "Endpoint", endpoint.render),
    ("artifacts", "Artifacts", artifacts.render),
    ("next", "Go on", next_steps.render),
    ("provenance", "Provenance", provenance.render),
    ("missing", "Missing", provenance.render_missing),
)


def render_page(run: Run) -> str:
    """The whole HTML document."""
    script = resource("page.js")
    rendered = [(anchor, name, render(run)) for anchor, name, render in SECTIONS]
    shown = [(anchor, name, body) for anchor, name, body in rendered if body]
    body = tag(
        "body",
        tag("a", "Skip to the report", href="#report", cls="skip"),
        _bar(run, [(anchor, name) for anchor, name, _ in shown]),
        tag("main", summary.render(run), [body for _, _, body in shown], id="report"),
        tag("footer", tag("p", "Written by nemo-launcher from the files in the run folder.")),
        tag("script", Html(script)),
    )
    return f"<!doctype html>\n{tag('html', _head(run, script), body, lang='en')}\n"


def _head(run: Run, script: str) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{run.name}: run report"),
        tag("style", Html(resource("page.css"))),
    )


def policy(script: str) -> str:
    """A content security policy under which no script but the page's own runs and nothing is loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"


def _bar(run: Run, entries: list[tuple[str, str]]) -> Html:
    links = [tag("li", tag("a", name, href=f"#{anchor}")) for anchor, name in entries]
    switch = tag(
        "button", "◐", type="button", id="theme", aria_label="Light or dark", title="Light or dark", hidden=True
    )
    home = tag("a", run.name, href="#summary", cls="home")
    return tag("nav", home, tag("ul", links), switch, aria_label="Contents", cls="top")


def resource(name: str) -> str:
    """A text file that ships beside this module."""
    return join(Html(files(__package__).joinpath(name).read_text(encoding="utf-8")))
