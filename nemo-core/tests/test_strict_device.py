"""What would fail at once on a GPU fails here: on a device that takes no tensor, and no generator, of the CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import strict_device
from family_cases import CASES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(strict_device.compiler() is None, reason="there is no C++ compiler to build the device with"),
]
HEAD = """
import json, sys
from pathlib import Path
sys.path.insert(0, TESTS)
import torch
import strict_device
device = strict_device.start(Path(LIBRARY))
torch.set_num_threads(1)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a script in a process that has the device."""
    library = strict_device.build(tmp_path_factory.mktemp("strict"))

    def done(script: str, *words: str) -> str:
        head = HEAD.replace("TESTS", repr(str(Path(__file__).parent))).replace("LIBRARY", repr(str(library)))
        process = subprocess.run([sys.executable, "-c", head + script, *words], capture_output=True, text=True)
        assert process.returncode == 0, process.stderr[-3000:]
        return process.stdout

    return done


def test_the_device_is_strict(run):
    script = """
def refused(function):
    try:
        function()
    except RuntimeError as error:
        return "device" in str(error)
there, here = torch.ones(3, device=device), torch.ones(3)
assert (there * 2).cpu().tolist() == [2.0] * 3
assert refused(lambda: there + here)
assert refused(lambda: there.uniform_(generator=torch.Generator()))
assert refused(lambda: there.index_add_(0, torch.tensor([0]), here[:1]))
assert refused(lambda: torch.cat([there, here]))
assert refused(lambda: torch.nn.functional.linear(there, here))
"""
    run(script)


FAMILY = """
import tempfile
from family_cases import write_case
from nemo_core.checkpoint.folder import load_model
from nemo_core.data.batch import Batch
from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.train.objective import next_token_loss

def answers(model):
    engine = Engine(model, None, max_slots=3, max_length=40, block_size=4)
    for number, length in enumerate((3, 5, 4, 6)):
        sampling = SamplingParams(max_tokens=6, temperature=0.8, top_p=0.9, seed=number, ignore_eos=True)
        engine.add(Request(id=number, prompt_ids=list(range(1, length)), sampling=sampling))
    made = {}
    while engine.has_work:
        for delta in engine.step():
            made.setdefault(delta.id, []).extend(delta.token_ids)
    return made

for name in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder:
        write_case(name, Path(folder))
        there, here = load_model(folder, device=device), load_model(folder)
    ids = torch.arange(24).view(2, 12) % there.config.vocab_size
    segments, positions = (torch.arange(12) > 5).long().expand(2, 12), (torch.arange(12) % 6).expand(2, 12)
    for batch in (Batch(ids, ids.clone()), Batch(ids, ids.clone(), positions, segments)):
        losses = [next_token_loss(model, batch.to(model.head_weight.device)) for model in (there, here)]
        for loss in losses:
            loss.backward()
        torch.testing.assert_close(losses[0].detach().cpu(), losses[1].detach(), rtol=1e-5, atol=1e-5)
    assert answers(there) == answers(here), name
"""


def test_every_family_learns_and_answers_there_as_on_the_cpu(run):
    run(FAMILY, *CASES)


COMMANDS = """
import nemo_core.train.sft, nemo_core.train.evaluate, nemo_core.scoring.command, nemo_core.scoring.classify
import nemo_core.distill.command, nemo_core.embedding.command, nemo_core.inference.command, nemo_core.prune.command
from nemo_core.cli import main

strict_device.compute_there(device)
for words in json.loads(sys.argv[1]):
    assert main(words) == 0, words
"""
SHORT = ["steps=2", "threads=1", "tensorboard=false"]
METHODS = ["full", "lora", "dora", "ia3", "prompt", "ptuning", "adapter", "parallel_adapter"]


def test_every_command_computes_there(run, pretrained, tokens, questions, tmp_path):
    labelled, pairs = tmp_path / "labelled.jsonl", tmp_path / "pairs.jsonl"
    preferences = tmp_path / "preferences.jsonl"
    chosen = [{"prompt": f"what is {n}", "chosen": f"it is {n}", "rejected": "nobody knows"} for n in range(12)]
    preferences.write_text("".join(json.dumps(row) + "\n" for row in chosen))
    rows = [{"text": f"text {n}", "label": "ab"[n % 2], "query": f"what is {n}", "positive": f"{n}"} for n in range(12)]
    for path in (labelled, pairs):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model, out = f"model={pretrained}", lambda name: f"output={tmp_path / name}"
    new = [f"tokens={tokens}", "batch_size=4", "sequence_length=32", *SHORT]
    sft = ["sft", model, f"conversations={questions}", "sequence_length=128", "sample_tokens=3", *SHORT]
    commands = [
        ["pretrain", *new, "ema.decay=0.9", "guard.rollback_after=2", "save_every=1", out("new")],
        *(["pretrain", *new, f"optimizer.kind={kind}", out(kind)] for kind in ("muon", "adafactor")),
        ["pretrain", *new, "parallel.recompute=selective", "separate_documents=true", out("apart")],
        *([*sft, f"method={method}", out(method)] for method in METHODS),
        [*sft, "method=lora", "lora.dropout=0.1", "lora.modules_to_save=[model.norm]", out("copies")],
        [
            "evaluate",
            model,
            f"tokens={tokens}",
            f"conversations={questions}",
            "samples=1",
            "threads=1",
            out("evaluated"),
        ],
        ["train-reward", model, f"preferences={preferences}", *SHORT, out("reward")],
        ["train-classifier", model, f"texts={labelled}", "method=lora", *SHORT, out("classifier")],
        ["classify", f"model={tmp_path / 'classifier'}", f"texts={labelled}", "threads=1", out("classes.jsonl")],
        [
            "distill",
            f"teacher={pretrained}",
            f"continue_from={pretrained}",
            *new,
            "hidden_weight=1",
            "attention_weight=1",
            out("student"),
        ],
        ["train-embedding", model, f"pairs={pairs}", "batch_size=4", "micro_batch_size=2", *SHORT, out("embedding")],
        ["embed", f"model={tmp_path / 'embedding'}", f"texts={labelled}", "threads=1", out("vectors.npy")],
        ["generate", model, f"adapter={tmp_path / 'lora/adapter'}", "prompt=The", "max_tokens=4", "threads=1"],
    ]
    run(COMMANDS, json.dumps(commands))
