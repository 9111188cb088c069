"""A model of every family is aligned by DPO and GRPO, exported, served, and answers as transformers says it does."""

import runpy
from pathlib import Path

import openai
import pytest
import torch
from packages import ROOT

from nemo_aligner import train
from nemo_aligner.selftest.toys import VOCABULARY, make_toys, write_tokenizer
from nemo_core.checkpoint.folder import load_model
from nemo_core.train.metrics import read_metrics
from nemo_deploy.cli import main
from nemo_deploy.serve.run import in_background
from nemo_deploy.serve.settings import ServeSettings

CASES = runpy.run_path(str(ROOT / "nemo-core/tests/family_cases.py"))
IDS = {"vocab_size": len(VOCABULARY), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
QUICK = ("qwen2", "gemma2", "mixtral", "gpt2")
FAMILIES = {family: name for name, (family, *_) in reversed(CASES["CASES"].items())}
REWARDS = [{"use": "nemo_aligner.selftest.toys:repeats_digit"}]


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    torch.set_num_threads(1)
    return make_toys(tmp_path_factory.mktemp("toys"), hidden_size=32)


def greedy_by_transformers(folder: Path, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(CASES["logits_of"](folder, torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in sorted(FAMILIES)]
)
def test_a_family_is_aligned_exported_and_served(family, toys, tmp_path):
    CASES["write_case"](FAMILIES[family], tmp_path / "model", **IDS)
    write_tokenizer(tmp_path / "model")
    pairs = {"preferences": toys.digits_to_sort, "batch_size": 4, "validation_pairs": 8, "learning_rate": 1e-3}
    dpo = train("dpo", model=tmp_path / "model", output=tmp_path / "dpo", steps=2, **pairs)
    assert dpo.before["loss"] == pytest.approx(0.693147, abs=1e-5)
    assert dpo.after["margin"] != 0
    sampling = {"prompts_per_step": 2, "group_size": 2, "max_tokens": 4, "validation_prompts": 2, "rewards": REWARDS}
    asked = {"conversations": toys.digits_to_repeat, "steps": 1, "adapter": {"rank": 2}, **sampling}
    train("grpo", model=tmp_path / "dpo", output=tmp_path / "grpo", **asked)
    assert max(row["logp_gap_max"] for row in read_metrics(tmp_path / "grpo/metrics.jsonl")) < 1e-4
    for dtype in ("fp32", "bf16"):
        assert main(["export", f"model={tmp_path / 'grpo'}", f"output={tmp_path / dtype}", f"dtype={dtype}"]) == 0
    ids = torch.randint(len(VOCABULARY), (2, 20), generator=torch.Generator().manual_seed(0))
    model = load_model(tmp_path / "fp32").requires_grad_(False)
    torch.testing.assert_close(model.logits(model(ids)), CASES["logits_of"](tmp_path / "fp32", ids), atol=5e-5, rtol=0)
    assert served(tmp_path / "fp32", ids[0].tolist()) == greedy_by_transformers(tmp_path / "fp32", ids[0].tolist(), 6)


def served(folder: Path, prompt: list[int]) -> list[int]:
    """Six tokens that a server of `folder` finds most likely after `prompt`."""
    with (
        in_background(ServeSettings(model=folder, port=0, max_slots=1, threads=1)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="unused") as client,
    ):
        asked = {"prompt": prompt, "max_tokens": 6, "temperature": 0, "logprobs": 0}
        reply = client.completions.create(model=folder.name, extra_body={"ignore_eos": True}, **asked)
    return [VOCABULARY.index(token) for token in reply.choices[0].logprobs.tokens]
