"""The chat templates of published models, as TRL ships them, render here as in transformers."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer

trl = pytest.importorskip("trl", reason="the library that ships the templates is not installed")
TEMPLATES = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
SYSTEM = {"role": "system", "content": "be <brief>"}
TURN = [{"role": "user", "content": " hi é"}, {"role": "assistant", "content": "yo"}]
CALL = {"type": "function", "id": "123456789", "function": {"name": "f", "arguments": {"x": 1}}}
CHATS = {
    "several turns": [*TURN, *TURN],
    "system": [SYSTEM, *TURN, TURN[0]],
    "call": [
        TURN[0],
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "name": "f", "content": "3", "tool_call_id": "123456789"},
    ],
    "two answers running": [TURN[1], TURN[1]],
}
TOOLS = [{"type": "function", "function": {"name": "f", "description": "it's <é>", "parameters": {"type": "object"}}}]


def answer(render, chat, **options):
    """The text, or that the chat is refused."""
    from jinja2 import TemplateError

    try:
        return render(chat, **options)
    except (InputError, TemplateError, TypeError, ValueError):
        return None


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_published_templates_render_as_in_transformers(path, tmp_path):
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(
        models.BPE(vocab={c: i for i, c in enumerate(["<s>", "</s>", *pre_tokenizers.ByteLevel.alphabet()])}, merges=[])
    )
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=path.read_text()
    )
    theirs.save_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    for chat in CHATS.values():
        for options in ({"add_generation_prompt": True, "tools": TOOLS}, {"add_generation_prompt": False}):
            wanted = answer(theirs.apply_chat_template, chat, tokenize=False, **options)
            assert answer(ours.render_chat, chat, **options) == wanted
