"""Classifiers answer as fasttext-predict and transformers do; sampling by score depends on ids alone."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from nemo_curator.classify.fasttext_step import leaving, load_model
from nemo_curator.classify.settings import Classify, FastText
from nemo_curator.classify.train_command import prepare, train
from nemo_curator.classify.train_settings import PrepareFastText, TrainClassifier
from nemo_curator.cli import main
from nemo_curator.foundation.errors import ArtifactError, ConfigError, InputError
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

WORDS = sorted({word for n in range(12) for word in prose(n).split()})[:300]


@pytest.fixture
def lines(tmp_path):
    """Training lines of two qualities that differ in their words."""
    good = [{"text": prose(n)} for n in range(60)]
    poor = [{"text": f"buy now {n} click here été cheap\npills offer {n * 7} sale"} for n in range(60)]
    for label, rows in (("hq", good), ("cc", poor)):
        source = write_jsonl(tmp_path / label / "0.jsonl", rows).parent
        prepare(PrepareFastText(input=source, label=label, output=tmp_path / f"{label}.txt"))
    return [tmp_path / "hq.txt", tmp_path / "cc.txt"]


def trained(lines, tmp_path, **settings):
    return train(TrainClassifier(files=lines, output=tmp_path / "m.bin", buckets=1000, dimension=8, **settings))


def test_a_model_that_we_train_is_one_that_fasttext_reads(lines, tmp_path):
    from nemo_curator.classify import train_fasttext as training
    from nemo_curator.classify.fasttext_format import Shape, write_model

    texts = [line.partition(" ")[2] for path in lines for line in path.read_text().splitlines()]
    labels = ["hq"] * 60 + ["cc"] * 60
    shape = Shape(dimension=8, word_ngrams=3, buckets=1000, epochs=5, min_count=2)
    dictionary = training.dictionary_of(texts, labels, min_count=2)
    encoded = training.encode(texts, labels, dictionary, shape)
    matrices = training.train(encoded, dictionary, shape, rate=0.3, seed=1)
    with open(tmp_path / "own.bin", "wb") as handle:
        write_model(handle, dictionary, shape, matrices)
    model = load_model(tmp_path / "own.bin")
    unseen = ["", "the river été", "buy pills, unknownword click", prose(99), "日本語 the mills"]
    for text in [*texts[::13], *unseen]:
        again = training.encode([text], ["hq"], dictionary, shape)
        (wanted,) = training.probabilities(again, *matrices)
        names, found = model.predict(text, k=5)
        by_name = dict(zip(names, found, strict=True))
        for label, probability in zip(dictionary.labels, wanted, strict=True):
            assert by_name[label] == pytest.approx(probability, abs=2e-5), text


def test_training_separates_what_can_be_separated_and_is_the_same_each_time(lines, tmp_path):
    result = trained(lines, tmp_path, rate=0.5)
    assert result.validation_accuracy == 1.0
    assert result.validation_lines > 3
    first = (tmp_path / "m.bin").read_bytes()
    trained(lines, tmp_path, rate=0.5, overwrite=True)
    assert (tmp_path / "m.bin").read_bytes() == first


def test_what_cannot_be_learnt_from_is_named(lines, tmp_path):
    with pytest.raises(InputError, match=r"only the label hq is in them"):
        trained(lines[:1], tmp_path)
    (tmp_path / "bad.txt").write_text("__label__a fine\nno label\n")
    with pytest.raises(InputError, match=r"bad.txt:2: begins with no __label__NAME but with 'no'"):
        trained([tmp_path / "bad.txt"], tmp_path)
    (tmp_path / "m.bin").write_text("")
    with pytest.raises(ArtifactError, match="exists already"):
        trained(lines, tmp_path)


def test_a_prepared_sample_depends_on_ids_alone(tmp_path):
    source = write_jsonl(tmp_path / "in" / "0.jsonl", [{"text": f"{n}\n__label__x"} for n in range(50)]).parent
    for name in ("a", "b"):
        prepare(PrepareFastText(input=source, label="hq", output=tmp_path / name, samples=10))
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    assert (tmp_path / "a").read_text().count("__label__") == 10


def test_the_command_samples_by_score(lines, tmp_path):
    trained(lines, tmp_path, rate=0.5)
    rows = [{"text": prose(n)} for n in range(70, 90)] + [{"text": "click here cheap pills buy"}] * 20
    source = write_jsonl(tmp_path / "docs" / "0.jsonl", rows).parent
    words = ["fasttext", f"input={source}", f"model={tmp_path / 'm.bin'}", "workers=1"]
    assert main([*words, f"output={tmp_path / 'above'}", "keep=above"]) == 0
    kept = read_folder(tmp_path / "above" / "data")
    assert len(kept) == 20 and all(row["fasttext_score"] > 0.5 for row in kept)
    assert read_folder(tmp_path / "above" / "rejects")[0]["reason"] == "classifier_score_too_low"
    with pytest.raises(ConfigError, match=r"label=xx: .* knows the labels cc, hq"):
        FastText(model=tmp_path / "m.bin", label="xx").open()
    with pytest.raises(ConfigError, match="no such file; train one"):
        FastText(model=tmp_path / "none.bin").open()
    (tmp_path / "no.bin").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="no fastText model"):
        FastText(model=tmp_path / "no.bin").open()


def test_the_pareto_rule_keeps_as_often_as_numpy_draws():
    settings = FastText(model="m", alpha=3.0)
    ids = [f"d{n}" for n in range(20_000)]
    for score in (0.0, 0.5, 0.9, 1.0):
        kept = 1 - leaving(np.full(len(ids), score), ids, settings).mean()
        drawn = (np.random.default_rng(0).pareto(3.0, 200_000) > 1 - score).mean()
        assert kept == pytest.approx(drawn, abs=0.012)
    forwards = leaving(np.full(10, 0.5), ids[:10], settings)
    assert (leaving(np.full(10, 0.5), ids[:10][::-1], settings)[::-1] == forwards).all()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny real models: a softmax head, one number, NVIDIA's first-token head, NVIDIA's eight heads."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        DebertaV2Config,
        DebertaV2Model,
        PreTrainedTokenizerFast,
    )

    root = tmp_path_factory.mktemp("models")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(names)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
    small = {
        "vocab_size": len(names),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "initializer_range": 0.5,
    }
    torch.manual_seed(0)
    for name, labels in (("softmax", {0: "Low", 1: "Medium", 2: "High"}), ("regression", {0: "score"})):
        config = BertConfig(**small, id2label=labels, label2id={v: k for k, v in labels.items()})
        BertForSequenceClassification(config).eval().save_pretrained(root / name)
    config = DebertaV2Config(
        **small, id2label={0: "Sports", 1: "News"}, relative_attention=True, max_relative_positions=-1
    )
    backbone = DebertaV2Model(config).eval()
    weights = {f"model.{k}": v for k, v in backbone.state_dict().items()}
    head = torch.nn.Linear(16, 2)
    (root / "first").mkdir()
    config.save_pretrained(root / "first")
    save_file(
        {**weights, "fc.weight": head.weight.data, "fc.bias": head.bias.data}, root / "first" / "model.safetensors"
    )
    (root / "prompt" / "base").mkdir(parents=True)
    config.save_pretrained(root / "prompt" / "base")
    sizes = {
        "task_type": 3,
        **dict.fromkeys(
            [
                "creativity_scope",
                "reasoning",
                "contextual_knowledge",
                "number_of_few_shots",
                "domain_knowledge",
                "no_label_reason",
                "constraint_ct",
            ],
            2,
        ),
    }
    dimensions = [name for name in sizes if name != "task_type"]
    plain = {
        "base_model": "some/base",
        "target_sizes": sizes,
        "task_type_map": {"0": "QA", "1": "Code", "2": "Other"},
        "weights_map": {name: [0, 1] for name in dimensions},
        "divisor_map": dict.fromkeys(dimensions, 1),
    }
    (root / "prompt" / "config.json").write_text(json.dumps(plain))
    prompt = {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    for index, size in enumerate(sizes.values()):
        prompt[f"head_{index}.fc.weight"] = torch.randn(size, 16)
        prompt[f"head_{index}.fc.bias"] = torch.randn(size)
    save_file(prompt, root / "prompt" / "model.safetensors")
    for name in ("softmax", "regression", "first", "prompt"):
        tokenizer.save_pretrained(root / name)
    return SimpleNamespace(root=root, backbone=backbone, head=head, prompt=prompt, tokenizer=tokenizer)


TEXTS = [" ".join(prose(n).split()[: 3 + 7 * n % 80]) for n in range(14)] + ["", "x"]


def answers(folder, texts=TEXTS, **settings):
    verdict = Classify(model=folder, device="cpu", **settings).open()(pa.table({"text": texts}))
    return {name: verdict.documents[name].to_pylist() for name in verdict.documents.column_names[1:]}, verdict


def test_labels_and_scores_are_those_of_the_transformers_pipeline(folders):
    from transformers import pipeline

    peer = pipeline("text-classification", model=str(folders.root / "softmax"), device="cpu")
    wanted = peer(TEXTS, truncation=True)
    found, _ = answers(folders.root / "softmax")
    assert found["class_label"] == [one["label"] for one in wanted]
    assert found["class_score"] == pytest.approx([one["score"] for one in wanted], abs=1e-5)


@pytest.mark.parametrize("batch_tokens", [64, 300, 100_000])
def test_answers_do_not_depend_on_batches(folders, batch_tokens):
    found, _ = answers(folders.root / "softmax", batch_tokens=batch_tokens)
    alone = [answers(folders.root / "softmax", [text])[0]["class_score"][0] for text in TEXTS]
    assert found["class_score"] == pytest.approx(alone, abs=1e-6)


def test_one_number_is_clamped_rounded_and_graded(folders):
    import torch
    from transformers import BertForSequenceClassification

    peer = BertForSequenceClassification.from_pretrained(folders.root / "regression").eval()
    ids = folders.tokenizer(TEXTS, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        raw = peer(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).logits[:, 0].tolist()
    found, _ = answers(folders.root / "regression", family="fineweb_edu")
    assert found["fineweb_edu_score"] == pytest.approx([min(5, max(0, value)) for value in raw], abs=1e-5)
    assert found["fineweb_edu_int_score"] == [round(min(5, max(0, value))) for value in raw]
    assert found["fineweb_edu_label"] == ["high_quality" if value >= 2.5 else "low_quality" for value in raw]
    with pytest.raises(ConfigError, match="has 3 outputs, but family=fineweb_edu gives one number"):
        answers(folders.root / "softmax", family="fineweb_edu")


def states(folders, text):
    import torch

    ids = folders.tokenizer([text], truncation=True, return_tensors="pt")
    with torch.no_grad():
        return folders.backbone(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"]).last_hidden_state[0]


def test_nvidias_heads_look_at_the_first_token(folders):
    import torch

    found, _ = answers(folders.root / "first", family="domain")
    for text, label, score in zip(TEXTS, found["domain_label"], found["domain_score"], strict=True):
        with torch.no_grad():
            probability = folders.head(states(folders, text)[0]).softmax(-1)
        assert label == ["Sports", "News"][int(probability.argmax())]
        assert score == pytest.approx(float(probability.max()), abs=1e-5)


def test_prompts_get_a_task_and_a_complexity(folders):
    found, _ = answers(folders.root / "prompt", family="prompt_task_complexity")
    mean = states(folders, TEXTS[3]).mean(0)
    share = {}
    for index, name in enumerate(
        [
            "creativity_scope",
            "reasoning",
            "contextual_knowledge",
            "number_of_few_shots",
            "domain_knowledge",
            "no_label_reason",
            "constraint_ct",
        ],
        1,
    ):
        logits = folders.prompt[f"head_{index}.fc.weight"] @ mean + folders.prompt[f"head_{index}.fc.bias"]
        value = float(logits.softmax(-1)[1])
        share[name] = 0.0 if name == "number_of_few_shots" and value < 0.05 else value
        assert found[f"prompt_{name}"][3] == pytest.approx(share[name], abs=1e-5)
    wanted = 0.35 * share["creativity_scope"] + 0.25 * share["reasoning"] + 0.15 * share["constraint_ct"]
    wanted += 0.15 * share["domain_knowledge"] + 0.05 * share["contextual_knowledge"]
    assert found["prompt_complexity"][3] == pytest.approx(wanted + 0.05 * share["number_of_few_shots"], abs=1e-5)
    assert set(found["prompt_label"]) <= {"QA", "Code", "Other"}


def test_documents_stay_by_label_and_score(folders):
    found, verdict = answers(folders.root / "softmax", keep_labels=["High"], min_score=0.6)
    for reason, label, score in zip(
        verdict.reason.to_pylist(), found["class_label"], found["class_score"], strict=True
    ):
        wanted = "label_not_wanted" if label != "High" else "classifier_score_too_low" if score < 0.6 else None
        assert reason == wanted
    with pytest.raises(ConfigError, match="the model has no label 'Top'; it has Low, Medium, High"):
        answers(folders.root / "softmax", keep_labels=["Top"])


def test_folders_that_hold_no_model_are_named(folders, tmp_path):
    with pytest.raises(ConfigError, match=r"holds no config.json"):
        answers(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"pickled weights are not read"):
        answers(tmp_path)
    with pytest.raises(ConfigError, match="family=aegis: Aegis is a PEFT adapter on Llama Guard 7B"):
        Classify(model=tmp_path, family="aegis")


def test_the_command_writes_labels(folders, tmp_path):
    source = write_jsonl(tmp_path / "in" / "0.jsonl", [{"text": text or "empty", "own": 1} for text in TEXTS]).parent
    words = [
        "classify",
        f"input={source}",
        f"output={tmp_path / 'out'}",
        f"model={folders.root / 'softmax'}",
        "workers=1",
    ]
    assert main([*words, "column=quality"]) == 0
    rows = read_folder(tmp_path / "out" / "data")
    assert len(rows) == len(TEXTS)
    assert {row["quality_label"] for row in rows} <= {"Low", "Medium", "High"}
    assert all(row["own"] == 1 for row in rows)


@pytest.mark.gpu
def test_a_gpu_gives_the_answers_of_a_cpu(folders):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    on_gpu = Classify(model=folders.root / "softmax", device="cuda").open()(pa.table({"text": TEXTS}))
    found, _ = answers(folders.root / "softmax")
    assert on_gpu.documents["class_score"].to_pylist() == pytest.approx(found["class_score"], abs=1e-3)
