"""Request by request, our model class of the lm-eval harness answers as the harness's own does on the same folder."""

import pytest
import torch
from tokenizers import processors

from nemo_core.foundation.errors import ConfigError, InputError

pytestmark = pytest.mark.slow
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<s>{{ m.role }}: {{ m.content|trim }}</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
WORDS = "The json module reads 7 items. The enum module sorts 12 items. A heapq keeps what is least. "


@pytest.fixture(scope="module", params=["begins with <s>", "begins plainly"])
def pair(request, tmp_path_factory):
    """(ours, the harness's) over one folder with 48 positions."""
    pytest.importorskip("lm_eval", reason="the extra [eval] is not installed")
    transformers = pytest.importorskip("transformers", reason="the reference implementation is not installed")
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from nemo_core.evaluation.harness import NemoCoreLM

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [WORDS] * 9,
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )  # fmt: skip
    if request.param == "begins with <s>":
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    folder = tmp_path_factory.mktemp("model")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=TEMPLATE
    ).save_pretrained(folder)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=48, initializer_range=0.4, bos_token_id=1, eos_token_id=2,
        )
    ).save_pretrained(folder)  # fmt: skip
    return NemoCoreLM(str(folder), batch_size=3), HFLM(str(folder), batch_size=1, device="cpu", dtype="float32")


def instances(kind, arguments):
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, given, number) for number, given in enumerate(arguments)]


def test_continuations_are_as_likely(pair):
    asked = [
        ("The json module", " reads"),
        ("", "The enum module"),
        ("", "<s>The enum module"),
        ("The json module ", "reads"),
        ("The json module  \n", " reads 7"),
        ("<s>The heapq", " keeps"),
        ("ab", "c"),
        ("é漢👍", "👍 \u200b"),
        (WORDS * 3, " and more"),
        (WORDS, WORDS[:60]),
        ("The json module", " reads"),
    ]
    for mine, other in zip(*(one.loglikelihood(instances("loglikelihood", asked)) for one in pair), strict=True):
        assert mine[0] == pytest.approx(other[0], abs=2e-4)
        assert mine[1] == other[1]


def test_whole_texts_are_as_likely(pair):
    texts = [(WORDS,), (WORDS * 4,), ("a",), ("<s>The enum",), ("".join(map(chr, range(600, 700))),), (WORDS[:130],)]
    mine, other = (one.loglikelihood_rolling(instances("loglikelihood_rolling", texts)) for one in pair)
    assert mine == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize(
    "wishes",
    [
        {"until": ["."], "max_gen_toks": 12},
        {"until": [], "max_gen_toks": 20},
        {"until": ["e", "\n\n", "7"], "max_new_tokens": 16, "do_sample": False, "temperature": 0.7},
        {"until": "o", "max_gen_toks": 9, "repetition_penalty": 1.9},
        {"until": ["zzz"], "max_gen_toks": 30, "min_new_tokens": 25, "num_beams": 1},
    ],
)
def test_what_is_written_is_the_same(pair, wishes):
    contexts = ["The json module", "<s>The enum", WORDS * 3, "é漢👍", " "]
    asked = instances("generate_until", [(context, dict(wishes)) for context in contexts])
    mine, other = (one.generate_until(asked) for one in pair)
    assert mine == other


def test_lengths_below_the_models_are_kept(pair):
    from lm_eval.models.huggingface import HFLM

    from nemo_core.evaluation.harness import NemoCoreLM

    folder = str(pair[0].folder)
    short = NemoCoreLM(folder, max_length=20), HFLM(folder, max_length=20, device="cpu", dtype="float32", batch_size=1)
    asked = [(WORDS, " reads"), (WORDS * 2, " sorts 12 items")]
    for mine, other in zip(*(one.loglikelihood(instances("loglikelihood", asked)) for one in short), strict=True):
        assert mine[0] == pytest.approx(other[0], abs=2e-4)
    mine, other = (one.loglikelihood_rolling(instances("loglikelihood_rolling", [(WORDS * 2,)])) for one in short)
    assert mine == pytest.approx(other, abs=1e-3)


@pytest.mark.parametrize("flag", [True, False])
def test_the_beginning_of_a_text_can_be_left_out(pair, flag):
    from lm_eval.models.huggingface import HFLM

    from nemo_core.evaluation.harness import NemoCoreLM

    folder = str(pair[0].folder)
    both = (
        NemoCoreLM(folder, add_bos_token=flag),
        HFLM(folder, add_bos_token=flag, device="cpu", dtype="float32", batch_size=1),
    )
    mine, other = (one.loglikelihood(instances("loglikelihood", [("The json", " module")])) for one in both)
    assert mine[0][0] == pytest.approx(other[0][0], abs=2e-4)


@pytest.mark.parametrize("opens", [True, False])
def test_chats_are_rendered_the_same(pair, opens):
    chats = [
        [{"role": "user", "content": "hi"}],
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "The answer is "}],
    ]
    for chat in chats:
        mine, other = (one.apply_chat_template([*chat], add_generation_prompt=opens) for one in pair)
        assert mine == other


def test_what_cannot_be_done_is_named(pair):
    ours, _ = pair
    for wishes, message in [
        ({"num_beams": 4}, "generation_kwargs num_beams=4 has no equal in nemo-core; known are until, max_gen_toks"),
        ({"max_gen_toks": 48}, "max_gen_toks=48 leaves no room for a prompt in 48 positions"),
    ]:
        with pytest.raises(ConfigError, match=message):
            ours.generate_until(instances("generate_until", [("The", wishes)]))
    with pytest.raises(InputError, match="tokens cannot be scored at once; this model takes 48"):
        ours.loglikelihood(instances("loglikelihood", [("The", WORDS * 3)]))
    with pytest.raises(
        InputError, match="a continuation has no tokens of its own: its text merges with what is before"
    ):
        ours.loglikelihood(instances("loglikelihood", [("The js", "on module")]))
