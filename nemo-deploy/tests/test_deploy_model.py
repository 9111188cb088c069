"""A real (tiny, random) Llama behind the server: real clients, numbers against transformers."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import torch

from nemo_core.checkpoint.folder import load_model
from nemo_core.inference import SamplingParams, generate
from nemo_core.tokenizer.load import load_tokenizer
from nemo_deploy.engines.protocol import LoadedModel
from nemo_deploy.serve.run import in_background
from nemo_deploy.serve.settings import ServeSettings
from nemo_deploy.testing.bytes_engine import BytesEngine

CHAT = [{"role": "user", "content": "What is textwrap?"}]


@pytest.fixture(scope="module")
def url(tiny_model):
    with in_background(ServeSettings(model=tiny_model, port=0, max_slots=4, threads=1)) as url:
        yield url


@pytest.fixture(scope="module")
def http(url, client_at):
    return client_at(url)


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def reference(tiny_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)


def test_client_lists_the_model(client, tiny_model):
    (model,) = client.models.list().data
    assert model.id == tiny_model.name
    assert client.models.retrieve(model.id).id == model.id


def test_greedy_completion_equals_transformers(client, tiny_model, reference):
    model, tokenizer = reference
    ids = tokenizer("What is json? ", return_tensors="pt").input_ids
    wanted = model.generate(ids, max_new_tokens=24, do_sample=False, pad_token_id=0, eos_token_id=-1)
    reply = client.completions.create(
        model=tiny_model.name,
        prompt="What is json? ",
        max_tokens=24,
        temperature=0,
        extra_body={"ignore_eos": True},
    )
    assert reply.choices[0].text == tokenizer.decode(wanted[0, ids.shape[1] :], skip_special_tokens=True)
    assert reply.usage.completion_tokens == 24


def test_prompt_logprobs_equal_transformers_as_lm_eval_asks_for_them(http, reference):
    model, tokenizer = reference
    prompts = [tokenizer(text).input_ids for text in ("It wraps text.", "What is json? It reads and writes.")]
    body = {"prompt": prompts, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True, "seed": 1234}
    for ids, choice in zip(prompts, http.post("/v1/completions", body).json["choices"]):
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        wanted = logprobs[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        table = choice["logprobs"]
        assert len(table["token_logprobs"]) == len(table["top_logprobs"]) == len(ids) + 1
        torch.testing.assert_close(torch.tensor(table["token_logprobs"][1:-1]), wanted, atol=1e-4, rtol=1e-4)
        greedy = [
            max(top.values()) == own for top, own in zip(table["top_logprobs"][1:-1], table["token_logprobs"][1:-1])
        ]
        assert greedy == (logprobs[:-1].argmax(-1) == torch.tensor(ids[1:])).tolist()


def test_chat_reproduces_with_a_seed_and_streams_the_same(client, tiny_model):
    ask = {"model": tiny_model.name, "messages": CHAT, "max_completion_tokens": 30, "seed": 11}
    first, again, other = (
        client.chat.completions.create(**{**ask, "seed": seed}).choices[0].message.content for seed in (11, 11, 12)
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**ask, stream=True)]
    assert first == again == "".join(pieces)
    assert first != other
    assert len(pieces) > 5


def test_stop_logprobs_and_n_through_the_client(client, tiny_model):
    ask = {"model": tiny_model.name, "prompt": "Wrap", "max_tokens": 40, "seed": 1}
    free = client.completions.create(**ask).choices[0].text
    stopped = client.completions.create(**ask, stop=free[10:12]).choices[0]
    assert (stopped.text, stopped.finish_reason) == (free[: free.index(free[10:12])], "stop")
    reply = client.chat.completions.create(
        model=tiny_model.name, messages=CHAT, max_completion_tokens=4, n=3, logprobs=True, top_logprobs=2, seed=3
    )
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    for choice in reply.choices:
        for entry in choice.logprobs.content:
            assert entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob
            assert entry.logprob <= entry.top_logprobs[0].logprob + 1e-6


OPTIONS = {
    "presence": {"presence_penalty": 2.0},
    "frequency": {"frequency_penalty": 1.5},
    "bias": {"logit_bias": {"11": 4.0, "12": -100.0}},
    "min-p": {"min_p": 0.9, "temperature": 1.0, "seed": 5},
    "repetition": {"repetition_penalty": 1.8},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_sampling_options_reach_the_engine(client, tiny_model, name):
    options = {"temperature": 0.0, **OPTIONS[name]}
    model, tokenizer = load_model(tiny_model), load_tokenizer(tiny_model)
    own = {key: {11: 4.0, 12: -100.0} if key == "logit_bias" else value for key, value in options.items()}
    prompt_ids = tokenizer.encode("What is json? ")

    def engine_says(**changes) -> str:
        sampling = SamplingParams(max_tokens=24, ignore_eos=True, **changes)
        (answer,) = generate(model, tokenizer, [prompt_ids], sampling=sampling)
        return answer.text

    extra = {key: options.pop(key) for key in ("min_p", "repetition_penalty") if key in options}
    reply = client.completions.create(
        model=tiny_model.name,
        prompt="What is json? ",
        max_tokens=24,
        **options,
        extra_body={"ignore_eos": True, **extra},
    )
    assert reply.choices[0].text == engine_says(**own)
    plain = {key: own[key] for key in ("temperature", "seed") if key in own}
    assert reply.choices[0].text != engine_says(**plain)


def test_stop_tokens_end_an_answer_but_not_before_its_least_length(http, reference):
    tokenizer = reference[1]
    ask = {"prompt": "What is json? ", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
    free = http.post("/v1/completions", {**ask, "logprobs": 0}).json["choices"][0]
    first = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(free["text"]))[0]
    stopped = http.post("/v1/completions", {**ask, "logit_bias": {first: 100}, "stop_token_ids": [first]}).json
    assert (stopped["choices"][0]["finish_reason"], stopped["usage"]["completion_tokens"]) == ("stop", 1)
    longer = http.post("/v1/completions", {**ask, "min_tokens": 5, "stop_token_ids": [first]}).json
    assert longer["usage"]["completion_tokens"] >= 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"logit_bias": {"999999": 1}}, "logit_bias: token 999999 is outside the vocabulary of "),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
        ({"logit_bias": {"3": 101}}, "logit_bias"),
        ({"stop_token_ids": [999999]}, "stop_token_ids: token 999999 is outside the vocabulary of "),
        ({"presence_penalty": 2.5}, "presence_penalty: expected float <= 2"),
        ({"frequency_penalty": -3}, "frequency_penalty: expected float >= -2"),
    ],
)
def test_sampling_options_out_of_range_are_named(http, body, said):
    reply = http.post("/v1/completions", {"prompt": "a", "max_tokens": 2, **body})
    assert reply.status == 400
    assert said in reply.error["message"]


def test_concurrent_answers_equal_sequential_ones(client, tiny_model):
    def ask(seed):
        body = {"model": tiny_model.name, "prompt": f"What is {seed}?", "max_tokens": 8 + seed, "seed": seed}
        return client.completions.create(**body).choices[0].text

    alone = [ask(seed) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == alone


def test_errors_arrive_as_the_clients_own(client, tiny_model):
    with pytest.raises(openai.NotFoundError, match="available: 'tiny-llama'"):
        client.completions.create(model="gpt-9", prompt="a")
    with pytest.raises(openai.BadRequestError, match="so at most 127"):
        client.completions.create(model=tiny_model.name, prompt="a", max_tokens=10**9)


def test_tokenizer_routes_agree_with_transformers(http, reference, tiny_model):
    _, tokenizer = reference
    assert http.post("/tokenize", {"prompt": "Grüße, 123"}).json["tokens"] == tokenizer("Grüße, 123").input_ids
    wanted = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert http.post("/tokenize", {"messages": CHAT}).json["tokens"] == wanted
    info = http.get("/tokenizer_info").json
    assert info["eos_token"] == "<|endoftext|>"
    assert "im_start" in info["chat_template"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_streams(url, tiny_model):
    body = '{"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "stream": true}'
    command = ["curl", "-sN", f"{url}/v1/chat/completions", "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('data: {"id":"chatcmpl-')
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_a_completion_goes_on_behind_what_starts_a_text(tiny_model, serve_bytes, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    raw = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    raw.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 7)])
    raw.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    with serve_bytes(lambda: LoadedModel(engine=BytesEngine(), tokenizer=tokenizer)) as client:
        tokens = client.post("/tokenize", {"prompt": "Wrap"}).json["tokens"]
        usage = client.post("/v1/completions", {"prompt": "Wrap", "max_tokens": 1}).json["usage"]
    assert tokens == [7, *tokenizer.encode("Wrap")]
    assert usage["prompt_tokens"] == len(tokens)
