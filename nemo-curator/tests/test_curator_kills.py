"""Twenty kills in a row, each at a random change of a file, and `resume` after each: the bytes of an unbroken run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nemo_curator.foundation import artifact
from nemo_curator.testing.corpora import prose, write_jsonl

KILLER = """
import json, os, random, shutil, signal, sys
from pathlib import Path
from nemo_curator.cli import main

words, seed, kills, farthest = json.loads(sys.argv[1])
output = Path(f"broken-{words[0]}")
out, sys.stdout = sys.stdout, sys.stderr
assert main([*words, f"output=whole-{words[0]}"]) == 0  # whole; and loads here, once, what every child needs
sys.stdout = out
words.append(f"output={output}")
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}

def die_at(number):
    left = [number]
    def hook(event, values):
        opened = event == "open" and isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_CREAT)
        if (opened or event in CHANGES) and str(Path.cwd()) in os.path.abspath(os.fsdecode(values[0])):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def attempt(chosen, number):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if number:
            die_at(number)
        os._exit(main(chosen))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

chance, done = random.Random(seed), 0
resumed = 0
while done < kills:
    asked = output.with_name(output.name + ".partial") / ".request.json"
    resumed += asked.is_file()
    code = attempt(["resume", str(output)] if asked.is_file() else words, chance.randint(1, farthest))
    assert code in (0, -signal.SIGKILL), (code, Path("log").read_text())
    done += code != 0
    if (output / "manifest.json").is_file() and done < kills:  # also where the kill came after the last step
        shutil.rmtree(output)
asked = output.with_name(output.name + ".partial") / ".request.json"
if not (output / "manifest.json").is_file():
    code = attempt(["resume", str(output)] if asked.is_file() else words, 0)
    assert code == 0, Path("log").read_text()
print(json.dumps({"kills": done, "resumed": resumed}))
"""
"""Runs a command whole; then in forks of itself, each killed at the n-th change of a file here, and resumes it."""

SHARDS = ["workers=1", "shard_bytes=1"]
CASES = {
    "dedup-exact": ["input=in", *SHARDS],
    "dedup-fuzzy": ["input=in", "mode=fast", "verify=true", "jaccard=0.6", "recall=0.9", *SHARDS],
    "dedup-substring": ["input=in", "length=60", *SHARDS],
    "dedup-spans": ["input=in", "unit=sentence", "window=2", *SHARDS],
    "dedup-semantic": ["input=in", "model=model", "clusters=3", "eps=0.2", *SHARDS],
    "decontaminate": ["input=in", "tasks={made: tasks.jsonl}", "min_characters=10", "ngram=8", *SHARDS],
    "redact": ["input=in", *SHARDS],
    "classify": ["input=in", "model=classifier", *SHARDS],
    "blend": ["inputs=[in,more]", "weights=[2,1]", "rows_per_file=5"],
    "shuffle": ["input=in", "memory_bytes=3000", "rows_per_file=5"],
}  # fmt: skip


def small_models(folder: Path) -> None:
    """An embedding model and a classifier with random weights and a vocabulary of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    tokens = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
    letters = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokens), num_labels=2, max_position_embeddings=512, **shape)
    for name, kind in (("model", BertModel), ("classifier", BertForSequenceClassification)):
        kind(config).save_pretrained(folder / name)
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]")
        tokenizer.save_pretrained(folder / name)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Inputs of every kind, with exact, near and partial duplicates, personal data and a passage of a task."""
    folder = tmp_path_factory.mktemp("kills")
    for file in range(4):
        texts = [prose(9 * file + n) for n in range(9)]
        texts += [prose(3), f"{prose(5)} And that was that {file}.", f"Write to me@example{file}.org. {prose(40)}"]
        write_jsonl(folder / f"in/{file}.jsonl", [{"text": text} for text in texts])
    write_jsonl(folder / "more/0.jsonl", [{"text": prose(90 + n)} for n in range(30)])
    write_jsonl(folder / "tasks.jsonl", [{"text": prose(7)}, {"text": prose(3)}])
    small_models(folder)
    return folder


def killed(words: list[str], place: Path) -> dict[str, int]:
    """Run a command to its end once unbroken, and once through twenty kills."""
    task = json.dumps([words, 7, 20, 40])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, task]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def data(folder: Path) -> dict[str, str]:
    """SHA-256 of every data file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != artifact.MANIFEST and artifact.role_of(path.name) == "data"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_twenty_kills_in_a_row_leave_the_bytes_of_an_unbroken_run(place, name):
    told = killed([name, *CASES[name]], place)
    assert told["kills"] == 20
    assert told["resumed"] >= 5
    assert data(place / f"broken-{name}") == data(place / f"whole-{name}")
    assert data(place / f"whole-{name}")
    assert [path.name for path in place.iterdir() if f"broken-{name}" in path.name] == [f"broken-{name}"]


DIES_WHEN_WRITTEN = """
import os, signal, sys
from nemo_curator.cli import main
replace, made = os.replace, sys.argv.pop(1)
os.replace = lambda a, b: os.kill(os.getpid(), signal.SIGKILL) if os.path.basename(b) == made else replace(a, b)
main(sys.argv[1:])
"""


def test_a_single_file_whose_writing_is_killed_is_not_there_and_is_written_by_the_same_command(tmp_path, monkeypatch):
    from nemo_curator.cli import main

    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "good/0.jsonl", [{"text": prose(n)} for n in range(30)])
    write_jsonl(tmp_path / "poor/0.jsonl", [{"text": f"buy now {n} pills"} for n in range(30)])
    for words, made in (
        (["prepare-fasttext", "input=good", "label=hq", "output=hq.txt"], "hq.txt"),
        (["prepare-fasttext", "input=poor", "label=cc", "output=cc.txt", "samples=9"], "cc.txt"),
        (["train-classifier", "files=[hq.txt,cc.txt]", "output=m.bin", "dimension=4", "buckets=100"], "m.bin"),
    ):
        command = [sys.executable, "-c", DIES_WHEN_WRITTEN, made, *words]
        killed_one = subprocess.run(command, capture_output=True, check=False)
        assert killed_one.returncode == -signal.SIGKILL
        assert not (tmp_path / made).exists()
        assert len(list(tmp_path.glob(f".{made}.*.partial"))) == 1
        assert main(words) == 0
        assert (tmp_path / made).stat().st_size > 50
        assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob(".*.partial"))
