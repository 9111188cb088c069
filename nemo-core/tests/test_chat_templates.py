"""Chat templates render, and chats become ids, as transformers has them."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from nemo_core.foundation.errors import ArtifactError, InputError
from nemo_core.inference.prompts import prompt_of
from nemo_core.tokenizer.load import load_tokenizer

transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
TEXTS = ["[INST] hello world [/INST] this is a text user assistant"] * 30
CHAT = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "this is"},
    {"role": "user", "content": "world <b> é"},
    {"role": "assistant", "content": "a text"},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "it's <é>", "parameters": {"x": [1, None]}}}]
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% generation %}{{ m['content'] + '<|im_end|>\n' }}{% endgeneration %}"
    "{% else %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDS_OTHERWISE = (  # the last answer begins, and the whole chat ends, unlike earlier turns
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% else %}{{ eos_token }}{% endif %}"
)
TEMPLATES = {
    "instruction": INST,
    "marked": MARKED,
    "no tools": "{% if tools is not none %}{{ raise_exception('tools') }}{% endif %}{{ messages|length }}",
    "tools": "{{ tools | tojson }}\n{{ tools | tojson(indent=2) }}{{ messages | tojson(separators=(',', ':')) }}",
    "special": "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }}{{ documents is none }}",
    "date": "{{ strftime_now('%Y') }}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% if ns.n > 2 %}{% break %}{% endif %}{{ m.content | trim }}{% endfor %}",
}


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def with_dummy_prefix(*, legacy: bool) -> Tokenizer:
    """As Llama 2 (legacy) or Mistral v0.3 has it: a text begins as if after a space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE)
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False)
    )
    if legacy:
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def both(tokenizer: Tokenizer, template: str, folder, **special):
    """What transformers makes of a tokenizer, and what we read from its folder."""
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **special}
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named, chat_template=template)
    theirs.save_pretrained(folder)
    return theirs, load_tokenizer(folder)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_templates_render_as_in_transformers(name, tools, tmp_path):
    theirs, ours = both(byte_level(), TEMPLATES[name], tmp_path)
    if name == "no tools" and tools:
        with pytest.raises(InputError, match=r"the chat template of .* refuses this chat: tools"):
            ours.render_chat(CHAT, add_generation_prompt=True, tools=tools)
        return
    for opens in (True, False):
        wanted = theirs.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=opens, tools=tools)
        assert ours.render_chat(CHAT, add_generation_prompt=opens, tools=tools) == wanted


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_goes_by_every_name_that_templates_have_for_it(name, tmp_path):
    template = "{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ m.content }}{% endfor %}"
    theirs, ours = both(byte_level(), template, tmp_path)
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", name: "since"}]
    wanted = theirs.apply_chat_template(chat, tokenize=False)
    assert "since|since|a" in wanted
    assert ours.render_chat(chat, add_generation_prompt=False) == wanted


@pytest.mark.parametrize("legacy", [True, False])
def test_a_tokenizer_that_begins_texts_with_a_space_does_so_once_in_a_chat(legacy, tmp_path):
    theirs, ours = both(with_dummy_prefix(legacy=legacy), INST, tmp_path)
    ids, is_answer = ours.encode_chat_with_mask(CHAT)
    assert ids == theirs.apply_chat_template(CHAT, return_dict=True)["input_ids"]
    learnt = [ours.backend.id_to_token(token) for token, flag in zip(ids, is_answer, strict=True) if flag]
    assert learnt == [f"{SPACE}this", f"{SPACE}is", "</s>", f"{SPACE}a", f"{SPACE}text", "</s>"]


def test_passages_that_a_template_marks_are_what_is_learnt(tmp_path):
    theirs, ours = both(byte_level(), MARKED, tmp_path)
    wanted = theirs.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    assert ours.encode_chat_with_mask(CHAT) == (wanted["input_ids"], [bool(m) for m in wanted["assistant_masks"]])
    ids, is_answer = ours.encode_chat_with_mask(CHAT, learn=[False, False, False, True])
    assert ours.decode([token for token, flag in zip(ids, is_answer) if flag]) == "a text\n"


def test_answers_are_found_where_a_chat_ends_unlike_its_turns(tmp_path):
    _, ours = both(byte_level(), ENDS_OTHERWISE, tmp_path)
    ids, is_answer = ours.encode_chat_with_mask(CHAT)
    learnt = ours.decode([token for token, flag in zip(ids, is_answer) if flag], skip_special=False)
    assert learnt == "this is<|im_end|><think>\n\n</think>\n\na text<|im_end|>"
    assert ours.decode(ids, skip_special=False) == ours.render_chat(CHAT, add_generation_prompt=False)


def test_a_template_that_rewrites_earlier_answers_is_refused(tmp_path):
    shorter = ENDS_OTHERWISE.replace("m['content'] +", "(m['content'] if loop.last else 'short') +")
    _, ours = both(byte_level(), shorter, tmp_path)
    with pytest.raises(InputError, match="changes earlier turns, so answers cannot be told apart"):
        ours.encode_chat_with_mask(CHAT)


def test_what_a_template_cannot_do_with_is_an_input_error(tmp_path):
    _, ours = both(byte_level(), "{{ messages[0]['content'] + 1 }}", tmp_path)
    with pytest.raises(InputError, match=r"the chat template of .* refuses this chat: "):
        ours.render_chat(CHAT, add_generation_prompt=True)
    _, broken = both(byte_level(), "{% if %}", tmp_path)
    with pytest.raises(InputError, match=r"the chat template of .* is no valid Jinja: "):
        broken.render_chat(CHAT, add_generation_prompt=True)


def test_prompts_begin_with_the_tokens_that_begin_a_text(tmp_path):
    theirs, ours = both(with_dummy_prefix(legacy=True), INST, tmp_path)
    assert prompt_of({"prompt": "hello"}, "prompt", ours).ids == theirs("hello")["input_ids"]
    assert ours.encode_prompt("hello")[0] == 1 != ours.encode("hello")[0]
    asked = prompt_of({"messages": CHAT[:1]}, "prompt", ours).ids
    assert asked == theirs.apply_chat_template(CHAT[:1], add_generation_prompt=True, return_dict=True)["input_ids"]


def test_templates_and_special_tokens_are_found_wherever_folders_keep_them(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}yes"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    )
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [2, 4]}))
    ours = load_tokenizer(tmp_path)
    assert ours.render_chat([], add_generation_prompt=False) == "<s>yes"
    assert (ours.bos_id, ours.eos_id, ours.stop_ids) == (1, 2, {2, 4})
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "from json"}))
    assert load_tokenizer(tmp_path).render_chat([], add_generation_prompt=False) == "from json"


def test_a_folder_of_an_older_kind_says_how_to_make_it_one_of_ours(tmp_path):
    with pytest.raises(ArtifactError, match=r"no tokenizer.json; give a folder that holds a tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"make one of its older files: AutoTokenizer.from_pretrained"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"nemo-core import-tokenizer model=.*tokenizer.model"):
        load_tokenizer(tmp_path)
