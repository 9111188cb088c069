"""Chat templates (Jinja) as transformers renders them: the same filters, functions and names are there."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..foundation.errors import InputError

REASONING = ("reasoning_content", "thinking", "reasoning")


class Rendered(NamedTuple):
    """The text of a chat, and where in it (first character, one past the last) a template marks answers."""

    text: str
    answers: list[tuple[int, int]]


class MarkAnswers(Extension):
    """``{% generation %}`` ... ``{% endgeneration %}``: what is between is said by the assistant.

    While `marks` is not None, such a passage is wrapped into two characters that no text has.
    """

    tags = {"generation"}
    begin, end = "\U0010fffe", "\U0010ffff"

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        environment.extend(marking=False)

    def parse(self, parser: Parser) -> nodes.Node:
        """The passage, called through `passage`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("passage"), [], [], body).set_lineno(line)

    @pass_eval_context
    def passage(self, context: nodes.EvalContext, caller: Any) -> str:
        """What the passage says."""
        text: str = caller()
        return f"{self.begin}{text}{self.end}" if context.environment.marking else text  # type: ignore[attr-defined]


class ChatTemplate:
    """A template with the special tokens that it may name (``bos_token`` and so on); `place` names it in messages."""

    def __init__(self, source: str, special: Mapping[str, str], *, place: str = "the chat template") -> None:
        self.special, self.place = special, place
        self.environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[MarkAnswers, loopcontrols]
        )
        self.environment.filters["tojson"] = to_json
        self.environment.globals |= {"raise_exception": refuse, "strftime_now": now}
        self.marks_answers = "endgeneration" in source
        try:
            self.template = self.environment.from_string(source)
        except TemplateError as error:
            raise InputError(f"{place} is no valid Jinja: {error}") from None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The chat as text. Raises InputError where the template refuses it, or cannot do with what is in it."""
        values = {"messages": [with_reasoning(m) for m in messages], "tools": tools, "documents": None}
        try:
            return self.template.render(**values, add_generation_prompt=add_generation_prompt, **self.special)
        except (
            TemplateError,
            TypeError,
            ValueError,
            LookupError,
            AttributeError,
            ArithmeticError,
            RecursionError,
        ) as error:
            raise InputError(f"{self.place} refuses this chat: {error}") from None

    def render_open(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The chat up to the end of its last message's content. InputError where the template leaves that out."""
        *earlier, last = messages
        marked = {**last, "content": f"{last['content']}{MarkAnswers.end} "}
        text = self.render([*earlier, marked], add_generation_prompt=False)
        before, found, after = text.rpartition(MarkAnswers.end)
        if not found:
            raise InputError(f"{self.place} leaves out the last message, so there is nothing to go on with")
        return before if after.startswith(" ") else before.rstrip()  # a template that trims a message trims its end

    def render_marked(self, messages: Sequence[Mapping[str, Any]]) -> Rendered:
        """The whole chat, and the passages that a template with ``{% generation %}`` marks."""
        self.environment.marking = True  # type: ignore[attr-defined]
        try:
            marked = self.render(messages, add_generation_prompt=False)
        finally:
            self.environment.marking = False  # type: ignore[attr-defined]
        first, *passages = marked.split(MarkAnswers.begin)
        text, answers = first, []
        for passage in passages:
            answer, _, after = passage.partition(MarkAnswers.end)
            answers.append((len(text), len(text) + len(answer)))
            text += answer + after
        return Rendered(text, answers)


def with_reasoning(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose reasoning has every name that templates call it by, whichever it came with."""
    reasoning = next((message[name] for name in REASONING if message.get(name) is not None), None)
    if reasoning is None:
        return dict(message)
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def refuse(message: str) -> None:
    """What templates call as raise_exception(message)."""
    raise TemplateError(message)


def now(form: str) -> str:
    """What templates call as strftime_now(form)."""
    return datetime.now().strftime(form)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter `tojson`: Jinja's own would escape what HTML does not take."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
