"""A saved state is whole or not there; what is damaged is told apart; training survives a failing disk."""

import itertools
import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.checkpoint import state_file
from nemo_core.checkpoint.state import has_state, load_state, save_state
from nemo_core.checkpoint.state_piece import Piece, overlap, pieces_to_write
from nemo_core.checkpoint.state_settings import StateSettings
from nemo_core.checkpoint.state_step import SavedState, write_index, write_part
from nemo_core.checkpoint.state_store import saved_steps, step_name, superfluous
from nemo_core.cli import main
from nemo_core.foundation import settings as settings_module
from nemo_core.foundation.errors import ArtifactError
from nemo_core.train.saving import Saver
from nemo_core.train.world import ALONE


def tensors(value: float = 0.0) -> dict[str, torch.Tensor]:
    return {
        "model.norm.weight": torch.arange(6.0) + value,
        "model.embed_tokens.weight": torch.arange(40.0).reshape(10, 4).to(torch.bfloat16) * (1 + value),
        "optim.model.norm.weight.step": torch.tensor(value),
        "rng.0.cpu": torch.arange(16, dtype=torch.uint8),
    }


def saver(root: Path, **changes) -> Saver:
    return Saver(root, StateSettings(**changes), ALONE)


def save(root: Path, step: int, **changes) -> Saver:
    one = saver(root, **changes)
    one.save(step, tensors(float(step)), {"step": step, "figures": {"validation_loss": abs(step - 20.0)}})
    one.finish()
    return one


def test_what_is_saved_comes_back(tmp_path):
    save(tmp_path, 7)
    state, facts = load_state(tmp_path)
    assert facts["step"] == 7
    for name, tensor in tensors(7.0).items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert sorted(path.name for path in (tmp_path / "step-000007").iterdir()) == [
        "index.json",
        "rank-00000.safetensors",
    ]


def test_safetensors_reads_the_file(tmp_path):
    from safetensors.torch import load_file

    save(tmp_path, 7)
    found = load_file(tmp_path / "step-000007/rank-00000.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors(7.0).items())


def cuts(length: int) -> st.SearchStrategy:
    return st.lists(st.integers(0, length), max_size=3).map(lambda edges: sorted({0, length, *edges}))


@settings(deadline=None, max_examples=40)
@given(rows=cuts(10), columns=cuts(4), low=st.tuples(st.integers(0, 9), st.integers(0, 3)), data=st.data())
def test_any_block_is_read_from_any_blocks(tmp_path_factory, rows, columns, low, data):
    folder = tmp_path_factory.mktemp("blocks")
    whole = torch.arange(40.0).reshape(10, 4)
    corners = [(a, b, c, d) for a, b in itertools.pairwise(rows) for c, d in itertools.pairwise(columns)]
    for rank, (a, b, c, d) in enumerate(corners):
        write_part(folder, [Piece("w", whole[a:b, c:d], (10, 4), (a, c))], rank=rank)
    write_index(folder, num_parts=len(corners), facts={})
    extent = (data.draw(st.integers(1, 10 - low[0])), data.draw(st.integers(1, 4 - low[1])))
    block = SavedState(folder).read("w", low, extent)
    assert torch.equal(block, whole[low[0] : low[0] + extent[0], low[1] : low[1] + extent[1]])


def test_blocks_that_only_touch_have_nothing_in_common():
    assert overlap((0, 0), (2, 2), (2, 0), (2, 2)) is None
    assert overlap((0, 1), (3, 3), (2, 0), (2, 2)) == ((2, 1), (1, 1))
    assert overlap((), (), (), ()) == ((), ())


def test_plain_tensors_are_shared_out_evenly_and_each_once():
    many = {f"w{n}": torch.zeros(100 + n) for n in range(20)}
    shares = [pieces_to_write(many, rank=rank, size=3) for rank in range(3)]
    assert sorted(piece.name for share in shares for piece in share) == sorted(many)
    sizes = [sum(piece.num_bytes for piece in share) for share in shares]
    assert max(sizes) < 1.2 * min(sizes)


@given(
    figures=st.dictionaries(st.integers(0, 50), st.one_of(st.floats(0, 9), st.just(math.nan)), min_size=1),
    last=st.integers(1, 4),
    best=st.integers(0, 3),
    every=st.sampled_from([0, 10]),
)
def test_the_newest_the_best_and_the_round_states_are_kept(figures, last, best, every):
    gone = set(superfluous(figures, StateSettings(keep_last=last, keep_best=best, keep_every=every)))
    kept = figures.keys() - gone
    assert set(sorted(figures)[-last:]) <= kept
    known = sorted((figure, -step) for step, figure in figures.items() if not math.isnan(figure))
    assert {-step for _, step in known[:best]} <= kept
    assert len(kept) <= last + best + (sum(step % every == 0 for step in figures) if every else 0)


def test_states_that_are_not_kept_go(tmp_path):
    for step in range(5, 45, 5):
        save(tmp_path, step, keep_last=2, keep_best=1, keep_every=15)
    assert saved_steps(tmp_path) == [15, 20, 30, 35, 40]


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: damage(folder / "rank-00000.safetensors", -3), "SHA-256 differs"),
        (lambda folder: damage(folder / "index.json", 40), "index"),
        (lambda folder: (folder / "rank-00000.safetensors").unlink(), "is missing"),
        (lambda folder: os.truncate(folder / "rank-00000.safetensors", 100), "has 100 bytes"),
    ],
)
def test_a_damaged_newest_state_is_told_and_the_one_before_it_taken(tmp_path, capsys, harm, message):
    save(tmp_path, 5)
    save(tmp_path, 10)
    harm(tmp_path / "step-000010")
    state = saver(tmp_path).load()
    assert state is not None
    assert state.facts["step"] == 5
    told = capsys.readouterr().err
    assert message in told
    assert "falling back to the state before it" in told
    harm(tmp_path / "step-000005")
    with pytest.raises(ArtifactError, match=r"no state is whole: .*Restore a copy, or delete it"):
        saver(tmp_path).load()


def test_a_state_of_another_model_is_named(tmp_path):
    save(tmp_path, 5)
    state = SavedState(tmp_path / "step-000005")
    with pytest.raises(ArtifactError, match=r"'model.norm.weight' is \[6\], this run's is \[8\]: .* another model"):
        state.fill("model.norm.weight", torch.empty(8))
    with pytest.raises(ArtifactError, match=r"holds no tensor 'model.layers.0.x', which this run trains"):
        state.fill("model.layers.0.x", torch.empty(8))


def test_the_former_layout_is_named_with_what_to_do(tmp_path):
    (tmp_path / "facts.json").write_text("{}")
    for look in (has_state, load_state, lambda root: saver(root).load()):
        with pytest.raises(ArtifactError, match=r"layout of nemo-core 0\.1 .* delete this folder to begin again"):
            look(tmp_path)


def test_a_newer_state_is_named(tmp_path):
    save(tmp_path, 5)
    index = tmp_path / "step-000005/index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "version": 99}))
    with pytest.raises(ArtifactError, match="version 99 is newer than this package reads; upgrade it"):
        SavedState(tmp_path / "step-000005")


def test_training_changes_nothing_of_a_state_that_is_still_being_written(tmp_path):
    one, live = saver(tmp_path), tensors()
    one.save(1, live, {"step": 1})
    for tensor in live.values():
        tensor.zero_()
    one.finish()
    assert torch.equal(load_state(tmp_path)[0]["model.norm.weight"], tensors()["model.norm.weight"])


@pytest.mark.parametrize("in_background", [True, False])
def test_a_write_that_fails_is_told_and_the_next_one_tries_again(tmp_path, capsys, monkeypatch, in_background):
    save(tmp_path, 5)
    one = saver(tmp_path, in_background=in_background)
    one.load()
    with monkeypatch.context() as patch:
        patch.setattr(state_file, "write_all", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        one.save(10, tensors(), {"step": 10})
        one.finish()
    told = capsys.readouterr().err
    assert "the state after step 10 was not saved: no space left while writing" in told
    assert "training goes on, the last saved one is that of step 5" in told
    assert [path.name for path in tmp_path.iterdir()] == ["step-000005"]
    one.save(15, tensors(), {"step": 15})
    one.finish()
    assert saved_steps(tmp_path) == [5, 15]


WRITER = """
import sys, torch
from pathlib import Path
from nemo_core.checkpoint.state_settings import StateSettings
from nemo_core.train.saving import Saver
from nemo_core.train.world import ALONE
saver = Saver(Path(sys.argv[1]), StateSettings(keep_last=2), ALONE)
state = saver.load()
step = state.facts["step"] if state else 0
while True:
    step += 1
    saver.save(step, {f"w{n}": torch.full((20000,), float(step)) for n in range(8)}, {"step": step})
    saver.finish()
    print(step, flush=True)
"""


@pytest.mark.slow
def test_twenty_kills_at_any_moment_leave_a_whole_state(tmp_path):
    draw, known = random.Random(), 0
    for _ in range(20):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(draw.randint(1, 4)):
            told = process.stdout.readline()
            assert told, "the writer ended by itself"
            known = int(told)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=draw.random() * 0.02)
        process.kill()
        process.wait()
        process.stdout.close()
        state, facts = load_state(tmp_path)
        assert facts["step"] >= known
        assert all(bool((state[f"w{n}"] == facts["step"]).all()) for n in range(8))


def test_a_kill_between_two_renames_is_mended(tmp_path):
    save(tmp_path, 5)
    (tmp_path / "step-000005").rename(tmp_path / "step-000005.replaced")
    (tmp_path / "step-000009.writing").mkdir()
    state = saver(tmp_path).load()
    assert state is not None
    assert state.facts["step"] == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-000005"]


def test_one_state_is_kept_where_a_process_saves_alone(tmp_path):
    assert not has_state(tmp_path / "state")
    for step in (1, 2):
        save_state(tmp_path / "state", tensors(float(step)), {"step": step})
    assert saved_steps(tmp_path / "state") == [2]
    shutil.rmtree(tmp_path / "state" / step_name(2))
    with pytest.raises(ArtifactError, match="no training state here"):
        load_state(tmp_path / "state")


def test_the_state_of_a_run_with_other_settings_is_not_wiped(tiny_words, tmp_path, capsys):
    partial = tmp_path / "model.partial"
    save(partial / "state", 5000)
    (partial / ".partial.json").write_text(json.dumps({"identity": "that of other settings"}))
    assert main(["pretrain", *tiny_words, f"output={tmp_path / 'model'}"]) == 2
    told = capsys.readouterr().err
    assert "holds the state after step 5000 of a run with other settings or inputs" in told
    assert "give the settings it was started with to continue it" in told
    assert saved_steps(partial / "state") == [5000]


def test_how_a_run_is_laid_out_and_saved_does_not_make_it_another_run(tiny_words, tmp_path, monkeypatch):
    from nemo_core.train import session
    from nemo_core.train.settings import PretrainSettings

    words = [*tiny_words, f"output={tmp_path / 'model'}"]
    first = settings_module.load(PretrainSettings, None, words)
    with pytest.raises(KeyboardInterrupt), session.shared_draft(first, {"tokens": first.tokens}, ALONE) as draft:
        save(draft.path / "state", 3)
        raise KeyboardInterrupt
    later = ["save_every=7", "state.keep_last=5", "parallel.data=1", "parallel.recompute=full", "log_every=3"]
    second = settings_module.load(PretrainSettings, None, [*words, *later])
    with pytest.raises(KeyboardInterrupt), session.shared_draft(second, {"tokens": second.tokens}, ALONE) as draft:
        assert draft.resumed
        assert saved_steps(draft.path / "state") == [3]
        raise KeyboardInterrupt


def test_a_run_keeps_its_newest_and_its_best_states(tiny_words, tmp_path):
    keep = ["state.keep_last=1", "state.keep_best=2", "validation_every=3", "state.keep_every=5", "save_every=1"]
    assert main(["pretrain", *tiny_words, *keep, f"output={tmp_path / 'model'}"]) == 0
    root = tmp_path / "model/state"
    losses = {step: load_figures(root / step_name(step)).get("validation_loss") for step in saved_steps(root)}
    assert {0, 5, 10, 12} <= losses.keys()
    measured = sorted((loss, step) for step, loss in losses.items() if loss is not None)
    assert {step for _, step in measured[:2]} == {9, 12}
    assert 3 not in losses
    assert 11 not in losses


def load_figures(folder: Path) -> dict[str, float]:
    return SavedState(folder).facts["figures"]
