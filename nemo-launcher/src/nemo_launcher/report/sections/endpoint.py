"""The conversation with the served model."""

from .. import figures
from ..markup import EMPTY, Html, join, prose, section, tag
from ..view import Exchange, Run


def render(run: Run) -> Html:
    """Every question that the endpoint was asked, and its answer."""
    if not run.exchanges:
        return EMPTY
    return section(
        "The served endpoint",
        tag("div", [_exchange(exchange) for exchange in run.exchanges], cls="chat"),
        anchor="endpoint",
        lead="The exported model was served and asked over the OpenAI API.",
    )


def _exchange(exchange: Exchange) -> Html:
    took = figures.duration(exchange.seconds) if exchange.seconds is not None else ""
    note = " · ".join(fact for fact in (exchange.model, took) if fact)
    return join(
        tag("div", tag("span", "Question", cls="unseen"), prose(exchange.question), cls="bubble asked"),
        tag(
            "div",
            tag("span", "Answer", cls="unseen"),
            prose(exchange.answer or "an empty answer"),
            tag("small", note) if note else None,
            cls="bubble said",
        ),
    )
