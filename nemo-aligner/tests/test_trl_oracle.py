"""TRL as an independent reference: its trainers' losses on the batches that our objectives see.

Needs the extra [trl]; losses there are methods of trainers, so tiny ones are made over a tiny model.
"""

import random

import pytest
import torch

from nemo_aligner.advantages import group_advantages, reward_tensor
from nemo_aligner.algorithms.dpo import DpoObjective, Pair
from nemo_aligner.algorithms.grpo import Experience, GrpoObjective
from nemo_aligner.logprobs import Turn
from nemo_aligner.roles.policy import add_up
from nemo_aligner.roles.reference import turn_log_probs
from nemo_core.checkpoint.folder import load_model

trl = pytest.importorskip("trl", reason="the oracle comes with the extra [trl]")
transformers = pytest.importorskip("transformers")
datasets = pytest.importorskip("datasets")

pytestmark = pytest.mark.slow

COMMON = {"report_to": [], "use_cpu": True, "bf16": False, "disable_dropout": True, "activation_checkpointing": False}


def turns_of(count, seed):
    draw = random.Random(seed)
    return [
        Turn(draw.choices(range(6, 20), k=draw.randint(2, 6)), draw.choices(range(6, 20), k=draw.randint(1, 9)))
        for _ in range(count)
    ]


def our_loss(model, objective, items):
    parts = objective.cut(items, max_tokens=100_000)
    return add_up([objective.loss(model, part) for part in parts])["loss"]


def hugging_face(toys):
    model = transformers.AutoModelForCausalLM.from_pretrained(toys.model, dtype=torch.float32)
    return model, transformers.AutoTokenizer.from_pretrained(toys.model)


@pytest.mark.parametrize(("loss", "theirs"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_dpo_losses_agree(loss, theirs, toys, tmp_path):
    model = load_model(toys.model)
    chosen, rejected = turns_of(5, seed=1), turns_of(5, seed=2)
    rejected = [Turn(c.prompt_ids, r.answer_ids) for c, r in zip(chosen, rejected)]
    reference = [(0.4 * i - 9.0, -7.0 - 0.3 * i) for i in range(5)]
    examples = [
        {
            "prompt_ids": list(c.prompt_ids),
            "chosen_ids": list(c.answer_ids),
            "rejected_ids": list(r.answer_ids),
            "ref_chosen_logps": a,
            "ref_rejected_logps": b,
        }
        for c, r, (a, b) in zip(chosen, rejected, reference)
    ]
    config = trl.DPOConfig(
        output_dir=str(tmp_path), beta=0.3, loss_type=[theirs], precompute_ref_log_probs=True, **COMMON
    )
    their_model, tokenizer = hugging_face(toys)
    rows = datasets.Dataset.from_list([{"prompt": "1", "chosen": "2", "rejected": "3"}] * 2)
    trainer = trl.DPOTrainer(their_model, args=config, processing_class=tokenizer, train_dataset=rows)
    expected = trainer._compute_loss(trainer.model, trainer.data_collator(examples), False).item()
    lengths = [(len(c.answer_ids), len(r.answer_ids)) if loss == "ipo" else (1, 1) for c, r in zip(chosen, rejected)]
    margins = [a / m - b / n for (a, b), (m, n) in zip(reference, lengths)]
    pairs = [Pair(c, r, margin) for c, r, margin in zip(chosen, rejected, margins)]
    objective = DpoObjective(beta=0.3, loss_type=loss)
    assert our_loss(model, objective, pairs) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("aggregation", "theirs"), [("token-mean", "dapo"), ("seq-mean", "grpo"), ("const", "dr_grpo")]
)
def test_grpo_losses_agree(aggregation, theirs, toys, tmp_path):
    model = load_model(toys.model)
    turns = turns_of(8, seed=3)
    advantages = group_advantages(reward_tensor([0.1, 0.9, 0.4, 0.4, 1.0, 0.0, 0.0, 0.0]), torch.arange(8) // 4)
    logps = turn_log_probs(model, turns, max_tokens=1000)
    old = [[value + 0.4 * (-1) ** i for i, value in enumerate(row)] for row in logps]
    reference = [[value - 0.2 for value in row] for row in logps]
    config = trl.GRPOConfig(
        output_dir=str(tmp_path),
        beta=0.1,
        epsilon=0.2,
        epsilon_high=0.28,
        loss_type=theirs,
        max_completion_length=9,
        num_generations=4,
        per_device_train_batch_size=8,
        use_bias_correction_kl=False,
        **COMMON,
    )
    _, tokenizer = hugging_face(toys)
    trainer = trl.GRPOTrainer(
        str(toys.model),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list([{"prompt": "1"}] * 8),
    )
    trainer.current_gradient_accumulation_steps = 1
    inputs = padded(turns, advantages.advantage_S, old, reference)
    expected = trainer._compute_loss(trainer.model.eval(), inputs).item()
    items = [
        Experience(turn, advantage, was, reference_row)
        for turn, advantage, was, reference_row in zip(turns, advantages.advantage_S.tolist(), old, reference)
    ]
    objective = GrpoObjective(kl_beta=0.1, clip_high=0.28, aggregation=aggregation, max_answer_tokens=9)
    assert our_loss(model, objective, items) == pytest.approx(expected, rel=1e-5)


def padded(turns, advantages, old, reference):
    prompt, answer = max(len(t.prompt_ids) for t in turns), max(len(t.answer_ids) for t in turns)

    def right(rows, width, dtype=torch.float32):
        return torch.stack([torch.tensor([*row, *[0] * (width - len(row))], dtype=dtype) for row in rows])

    def left(rows, width):
        return torch.stack([torch.tensor([*[0] * (width - len(row)), *row]) for row in rows])

    return {
        "prompt_ids": left([t.prompt_ids for t in turns], prompt),
        "prompt_mask": left([[1] * len(t.prompt_ids) for t in turns], prompt),
        "completion_ids": right([t.answer_ids for t in turns], answer, torch.long),
        "completion_mask": right([[1] * len(t.answer_ids) for t in turns], answer, torch.long),
        "advantages": advantages,
        "old_per_token_logps": right(old, answer),
        "ref_per_token_logps": right(reference, answer),
        "num_items_in_batch": torch.tensor(float(sum(len(t.answer_ids) for t in turns))),
    }
