"""The OpenAI routes over the model-free engine: shapes, streams, limits."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def test_models_and_one_model(client):
    (card,) = client.get("/v1/models").json["data"]
    assert (card["id"], card["object"], card["max_model_len"]) == ("tiny", "model", 512)
    assert client.get("/v1/models/tiny").json == card
    assert "available: 'tiny'" in client.get("/v1/models/huge").error["message"]


def test_completion_counts_tokens_and_says_why_it_ended(client):
    reply = client.post("/v1/completions", {"prompt": "abc", "max_tokens": 9, "seed": 1}).json
    (choice,) = reply["choices"]
    assert reply["object"] == "text_completion"
    assert (choice["index"], choice["finish_reason"]) == (0, "length")
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}


def test_seed_reproduces_and_choices_differ(client):
    body = {"prompt": "abc", "max_tokens": 40, "seed": 7, "n": 3}
    first, second = (client.post("/v1/completions", body).json["choices"] for _ in range(2))
    assert first == second
    assert len({choice["text"] for choice in first}) == 3


@pytest.mark.parametrize("prompt", ["abc", ["abc"], [97, 98, 99], [[97, 98, 99]]])
def test_a_prompt_may_take_any_of_four_forms(client, prompt):
    body = {"max_tokens": 8, "seed": 3, "echo": True}
    (choice,) = client.post("/v1/completions", {**body, "prompt": prompt}).json["choices"]
    assert choice["text"] == client.post("/v1/completions", {**body, "prompt": "abc"}).json["choices"][0]["text"]
    assert choice["text"].startswith("abc")


def test_several_prompts_answer_in_order(client):
    body = {"max_tokens": 30, "seed": 3, "echo": True, "n": 2}
    choices = client.post("/v1/completions", {**body, "prompt": ["one ", "two "]}).json["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert [choice["text"][:4] for choice in choices] == ["one ", "one ", "two ", "two "]


def test_echo_with_logprobs_has_one_entry_per_token_as_lm_eval_reads_it(client):
    body = {"prompt": [[97, 98, 99]], "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True, "seed": 1234}
    table = client.post("/v1/completions", body).json["choices"][0]["logprobs"]
    assert table["token_logprobs"] == [None, -2.0, -2.0, -2.0]
    assert table["top_logprobs"][0] is None
    assert all(max(top.values()) == -2.0 for top in table["top_logprobs"][1:])
    assert table["tokens"][:3] == ["a", "b", "c"]
    assert table["text_offset"] == [0, 1, 2, 3]


def test_echo_alone_scores_without_generating(client):
    reply = client.post("/v1/completions", {"prompt": "abc", "max_tokens": 0, "echo": True, "logprobs": 0}).json
    assert reply["choices"][0]["text"] == "abc"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 0


def test_stream_adds_up_to_the_whole_and_never_splits_a_character(client):
    body = {"prompt": "abc", "max_tokens": 200, "seed": 5, "n": 2}
    whole = client.post("/v1/completions", body).json["choices"]
    events = client.events("/v1/completions", body)
    for index, choice in enumerate(whole):
        pieces = [c for event in events for c in event["choices"] if c["index"] == index]
        assert "".join(piece["text"] for piece in pieces) == choice["text"]
        assert pieces[-1]["finish_reason"] == "length"
        assert not any(piece["finish_reason"] for piece in pieces[:-1])
    assert set("ä€🙂") <= set(whole[0]["text"] + whole[1]["text"])
    assert "�" not in "".join(piece["text"] for event in events for piece in event["choices"])


def test_chat_stream_opens_with_the_role_and_can_end_with_usage(client):
    body = {**CHAT, "max_tokens": 20, "seed": 2, "stream_options": {"include_usage": True}}
    events = client.events("/v1/chat/completions", body)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 20
    assert all(event["usage"] is None for event in events[:-1])
    assert len({event["id"] for event in events}) == 1


def test_stop_string_ends_the_answer_before_it(client):
    body = {"prompt": "abc", "max_tokens": 300, "seed": 5}
    free = client.post("/v1/completions", body).json["choices"][0]["text"]
    stop = free[20:21]
    (choice,) = client.post("/v1/completions", {**body, "stop": ["no such text", stop]}).json["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["text"] == free[: free.index(stop)]


def test_chat_logprobs_name_each_token(client):
    reply = client.post("/v1/chat/completions", {**CHAT, "max_tokens": 5, "logprobs": True, "top_logprobs": 1}).json
    content = reply["choices"][0]["logprobs"]["content"]
    assert len(content) == 5
    assert all(entry["logprob"] == -2.0 and len(entry["top_logprobs"]) == 1 for entry in content)


def test_chat_without_a_limit_fills_the_context(client):
    usage = client.post("/v1/chat/completions", CHAT).json["usage"]
    assert usage["total_tokens"] == 512


def test_message_parts_and_developer_role_are_read(client):
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]
    plain = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    body = {"max_tokens": 8, "seed": 1}
    texts = [
        client.post("/v1/chat/completions", {**body, "messages": m}).json["choices"][0]["message"]["content"]
        for m in (messages, plain)
    ]
    assert texts[0] == texts[1]


def test_unknown_fields_are_ignored_and_named_in_a_header(client):
    reply = client.post("/v1/completions", {"prompt": "a", "user": "me", "suffix": {}, "nö\r\n": 1})
    assert reply.status == 200
    assert reply.headers["warning"] == '299 nemo-deploy "ignored fields: user, suffix, n???"'


def test_tokenize_and_back(client):
    tokens = client.post("/tokenize", {"prompt": "grün"}).json
    assert tokens == {"tokens": list("grün".encode()), "count": 5, "max_model_len": 512}
    assert client.post("/detokenize", {"tokens": tokens["tokens"]}).json == {"prompt": "grün"}
    chat = client.post("/tokenize", CHAT).json["tokens"]
    assert bytes(chat).decode() == "user: hi\nassistant: "


def test_health_metadata_version_metrics(client):
    assert client.get("/v1/health/live").status == 200
    assert client.get("/v1/health/ready").json["message"] == "ready"
    assert client.get("/health").status == 200
    assert client.get("/v1/metadata").json["limits"]["max_model_len"] == 512
    assert client.get("/v1/version").json["release"].count(".") == 2
    client.post("/v1/completions", {"prompt": "abc", "max_tokens": 4})
    text = client.get("/metrics").body.decode()
    assert 'nemo_request_success_total{finished_reason="length"}' in text
    assert 'nemo_http_responses_total{route="/v1/completions",status="200"}' in text
    assert "nemo_num_requests_running 0.0" in text


def test_page_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("chat.css", "chat.js", "icon.svg"):
        asset = client.get(f"/page/{name}")
        assert asset.status == 200
        assert b"https://" not in asset.body
    assert client.get("/page/..%2frun.py").status == 404


BAD_BODIES = {
    "empty": (b"", "at line 1, column 1"),
    "cut off": (b'{"prompt": "a', "column 14"),
    "not json": (b'{\n "prompt": nul}', "at line 2, column 16 (byte 17)"),
    "not utf-8": (b'{"prompt": "\xff"}', "not UTF-8 at line 1, column 13"),
    "trailing": (b'{"prompt": "a"} x', "column 18"),
    "array": (b"[1]", "JSON list; an object"),
    "deep": (b"[" * 19_000, "nested too deeply"),
    "surrogate": (b'{"prompt": "\\ud800"}', "not valid JSON"),
    "no prompt": (b"{}", "prompt: is required"),
    "empty list": (b'{"prompt": []}', "prompt: the list is empty"),
    "no tokens": (b'{"prompt": [[1], []]}', "prompt[1]: no tokens"),
    "mixture": (b'{"prompt": ["a", 1]}', "only texts, only token ids"),
    "unknown token": (b'{"prompt": [1, 300]}', "prompt[1]: token id 300 is not in the vocabulary (0 to 256)"),
    "negative token": (b'{"prompt": [-1]}', "prompt"),
    "wrong type": (b'{"prompt": "a", "max_tokens": "9"}', "max_tokens: expected int, got str"),
    "bool as int": (b'{"prompt": "a", "n": true}', "n: expected int, got bool"),
    "nan": (b'{"prompt": "a", "temperature": NaN}', "not valid JSON"),
    "infinite": (b'{"prompt": "a", "temperature": 1e999}', "not valid JSON"),
    "hot": (b'{"prompt": "a", "temperature": 2.5}', "temperature: expected float <= 2.0"),
    "top_p 0": (b'{"prompt": "a", "top_p": 0}', "top_p: expected"),
    "n 0": (b'{"prompt": "a", "n": 0}', "n: expected int >= 1"),
    "huge n": (b'{"prompt": "a", "n": 1000000000}', "n: expected int <= 128"),
    "huge seed": (b'{"prompt": "a", "seed": 1' + b"0" * 500 + b"}", "seed: "),
    "empty stop": (b'{"prompt": "a", "stop": ""}', "stop: expected str of length >= 1"),
    "huge max_tokens": (b'{"prompt": "abc", "max_tokens": 100000}', "so at most 509"),
    "negative max_tokens": (b'{"prompt": "abc", "max_tokens": -1}', "max_tokens: expected int >= 0"),
    "long prompt": (b'{"prompt": "' + b"a" * 600 + b'"}', "the prompt has 600 tokens; this model's context holds 512"),
    "logprobs": (b'{"prompt": "a", "logprobs": 99}', "logprobs: expected int <= 20"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_completion_bodies_are_explained(client, name):
    body, message = BAD_BODIES[name]
    reply = client.post("/v1/completions", body)
    assert reply.status == 400
    assert message in reply.error["message"]
    assert reply.error["type"] == "invalid_request_error"


BAD_CHATS = {
    "no messages": ({}, "messages: is required"),
    "empty messages": ({"messages": []}, "messages: expected array of length >= 1"),
    "odd role": ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role: invalid enum value 'king'"),
    "no role": ({"messages": [{"content": "x"}]}, "messages[0].role: is required"),
    "picture": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "text": ""}]}]},
        "messages[0].content[0].type",
    ),
    "no tokens asked": ({**CHAT, "max_completion_tokens": 0}, "max_completion_tokens: expected int >= 1"),
    "too many asked": ({**CHAT, "max_completion_tokens": 9999}, "max_completion_tokens: 9999 is too large"),
    "alternatives alone": ({**CHAT, "top_logprobs": 2}, "top_logprobs: needs logprobs=true"),
    "stream as text": ({**CHAT, "stream": "yes"}, "stream: expected bool, got str"),
}


@pytest.mark.parametrize("name", BAD_CHATS)
def test_bad_chat_bodies_are_explained(client, name):
    body, message = BAD_CHATS[name]
    reply = client.post("/v1/chat/completions", body)
    assert (reply.status, message in reply.error["message"]) == (400, True), reply.error


def test_unknown_model_lists_the_served_one(client):
    reply = client.post("/v1/completions", {"model": "gpt-9", "prompt": "a"})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert reply.error["message"] == "model 'gpt-9' is not served here; available: 'tiny'"


def test_wrong_path_and_method_answer_in_json(client):
    assert "no route for GET /v2/models" in client.get("/v2/models").error["message"]
    reply = client.get("/v1/completions")
    assert (reply.status, "use POST" in reply.error["message"]) == (405, True)
    assert client.get("/v1/models/").status == 404


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(client, announced):
    body = b'{"prompt": "' + b"a" * 30_000 + b'"}'
    if announced:
        reply = client.post("/v1/completions", body)
    else:
        pieces = iter([body[:10_000], body[10_000:20_000], body[20_000:]])
        reply = client.send("POST", "/v1/completions", pieces)
    assert (reply.status, "20000 bytes" in reply.error["message"]) == (413, True)


FIELDS = ("prompt", "messages", "n", "stop", "seed", "max_tokens", "temperature", "stream", "logprobs", "echo", "top_k")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.builds(dict, role=st.sampled_from(["user", "system", "x"]), content=st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"]),
    body=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=12), VALUES, max_size=5),
    cut=st.none() | st.integers(0, 60),
)
def test_no_body_makes_the_server_fail(client, path, body, cut):
    raw = json.dumps(body, ensure_ascii=False, allow_nan=True).encode("utf-8", "surrogatepass")[:cut]
    reply = client.post(path, raw)
    assert reply.status in (200, 400, 413)
    if reply.status == 400:
        assert reply.error["message"]
