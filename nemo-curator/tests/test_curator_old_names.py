"""Every command of the Dask-era package still leads somewhere, and says what has become of its flags."""

import json
from pathlib import Path

import pytest

from nemo_curator.cli import PROGRAM, main
from nemo_curator.filter.presets import PRESETS
from nemo_curator.foundation import artifact
from nemo_curator.foundation.command import resolve
from nemo_curator.foundation.errors import UserError
from nemo_curator.foundation.settings import load
from nemo_curator.old_names import data, markdown, modern, table, translate
from nemo_curator.old_names.filter_config import limits_of, settings_of_config
from nemo_curator.testing.corpora import prose, read_folder, write_jsonl

SCRIPTS = """
get_common_crawl_urls get_wikipedia_urls download_and_extract text_cleaning add_id make_data_shards
prepare_fasttext_training_data train_fasttext filter_documents separate_by_metadata prepare_task_data
find_matching_ngrams remove_matching_ngrams gpu_compute_minhashes minhash_buckets jaccard_map_buckets jaccard_shuffle
jaccard_compute gpu_connected_component buckets_to_edges gpu_exact_dups deidentify domain_classifier_inference
quality_classifier_inference aegis_classifier_inference fineweb_edu_classifier_inference
instruction_data_guard_classifier_inference multilingual_domain_classifier_inference
content_type_classifier_inference prompt_task_complexity_classifier_inference
fineweb_mixtral_edu_classifier_inference fineweb_nemotron_edu_classifier_inference blend_datasets
semdedup_extract_embeddings semdedup_clustering semdedup_extract_duplicate_ids async_llm_pii_redaction
llm_pii_redaction
"""  # [project.scripts] of the last Dask revision; 0.9.0 says semdedup_extract_unique_ids


NAMES = SCRIPTS.split()
VALUES = {"mode": "mask", "mask": "x", "language": "en", "wikipedia.language": "en"}
VALUES |= {"bytes_per_file~bytes": "3M", "validation_share~complement": "0.8"}
VALUES |= {"files[]": "a.txt", "inputs[]": "a,b", "only[]": "en,de"}


def test_all_of_them_are_known():
    assert len(NAMES) == 38
    assert set(table()) == {*NAMES, "semdedup_extract_unique_ids"}


@pytest.mark.parametrize("name", NAMES)
def test_every_flag_of_every_name_makes_settings_that_its_command_takes(name):
    old = table()[name]
    if old.instead:
        with pytest.raises(UserError, match=f"{name}: "):
            translate(old, [])
        return
    command = PROGRAM.find(old.now)
    given = []
    for flag, target in old.flags.items():
        value = VALUES.get(target, "3")
        if target == "@filters":
            continue
        given += [flag] if "=" in target or target.startswith("+") else [flag, value]
    words = translate(old, given).words
    assert words[0] == old.now
    wanted = {"decontaminate": ["tasks={a: b.jsonl}"], "classify": ["model=m"], "blend": ["weights=[1,1]"]}
    settings = load(resolve(command.settings), None, [*words[1:], *wanted.get(old.now, [])])
    assert type(settings).__name__ == command.settings.rpartition(":")[2]


def test_old_words_run_the_new_command(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"text": prose(n)} for n in range(3)] * 2)
    words = ["gpu_exact_dups", "--input-data-dirs", f"{tmp_path}/in", f"--output-dir={tmp_path}/out"]
    assert main([*words, "--n-workers", "1", "--hash-method", "md5", "--nvlink-only"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["dropped"] == {"exact_duplicate": 3}
    assert "gpu_exact_dups is now: nemo-curator dedup-exact input=" in said.err
    assert "--hash-method has no counterpart: BLAKE2b-128 always" in said.err
    assert "--nvlink-only has no counterpart: no GPU cluster is started" in said.err
    artifact.read(tmp_path / "out", "documents")


def test_text_cleaning_adds_the_steps_that_its_flags_ask_for(tmp_path, capsys):
    write_jsonl(tmp_path / "in/a.jsonl", [{"body": "See https://a.example/b for it.\r\nMore."}])
    words = ["text_cleaning", "--input-data-dir", f"{tmp_path}/in", "--output-clean-dir", f"{tmp_path}/out"]
    assert main([*words, "--input-text-field", "body", "--remove-urls", "--normalize-newlines", "workers=1"]) == 0
    (row,) = read_folder(tmp_path / "out/data")
    assert "https" not in row["text"]
    assert "\r" not in row["text"]


def test_parts_of_what_is_one_command_now_are_refused_with_its_name(capsys):
    assert main(["jaccard_compute", "--ngram-size", "5"]) == 2
    assert "it is part of fuzzy deduplication" in capsys.readouterr().err


def test_a_flag_that_never_was_is_an_error_with_the_nearest_name(capsys):
    assert main(["add_id", "--id-prefx", "x"]) == 2
    assert "add_id: unknown flag '--id-prefx'; did you mean '--id-prefix'?" in capsys.readouterr().err
    assert main(["add_id", "--id-prefix"]) == 2
    assert "the flag for prefix needs a value" in capsys.readouterr().err
    assert main(["add_id", "in"]) == 2
    assert "'in' is neither a flag nor key=value" in capsys.readouterr().err


def test_negations_and_values_are_translated():
    assert modern(["run", "input=a"]) == ["run", "input=a"]
    deidentify = translate(table()["deidentify"], ["--anonymize-action", "redact"])
    assert deidentify.words == ["redact", "mode=remove"]
    crawl = translate(table()["get_common_crawl_urls"], ["--no-cc-news", "--starting-snapshot", "2024-10"])
    assert crawl.words == [
        *("acquire", "source=common-crawl", "common_crawl.start=2024-10", "common_crawl.end=2020-50")
    ]
    blend = translate(table()["blend_datasets"], ["--input-data-dirs", "a,b", "--weights=1,2"])
    assert blend.words == ["blend", "documents=10000", "inputs=[a,b]", "weights=[1,2]"]
    hashes = translate(table()["gpu_compute_minhashes"], ["--char-ngram", "20"])
    assert hashes.words == ["dedup-fuzzy", "width=20"]


def test_what_a_script_did_without_a_flag_it_still_does():
    """Defaults and units of the scripts of 0.9: sizes by 1024, the share of lines to train on, a blend of 10 000."""
    shards = translate(table()["make_data_shards"], ["--output-file-size", "1.5k"])
    assert shards.words == ["shard", "rows_per_file=null", "bytes_per_file=1536"]
    assert "bytes_per_file=104857600" in translate(table()["make_data_shards"], []).words
    train = translate(table()["train_fasttext"], ["--validation-split", "0.9"])
    assert train.words == ["train-classifier", "seed=1992", "dimension=100", "validation_share=0.1"]
    assert translate(table()["separate_by_metadata"], []).words == ["separate", "by=language"]
    for name, flag, value, message in [
        ("make_data_shards", "--output-file-size", "12", "'12' is no size such as 100M"),
        ("train_fasttext", "--validation-split", "most", "'most' is no number"),
    ]:
        with pytest.raises(UserError, match=message):
            translate(table()[name], [flag, value])


CONFIG = """
input_field: body
filters:
  - name: nemo_curator.filters.heuristic_filter.WordCountFilter
    params: {min_words: 5}
    log_score: True
  - name: nemo_curator.filters.heuristic_filter.RepeatingTopNGramsFilter
    params: {n: 3, max_repeating_ngram_ratio: 0.18}
  - name: RepeatedLinesFilter
  - name: nemo_curator.filters.heuristic_filter.CommonEnglishWordsFilter
    params: {min_num_common_words: 1, stop_at_false: True}
"""


def test_filter_configurations_of_the_scripts_are_read(tmp_path, capsys):
    (tmp_path / "filters.yaml").write_text(CONFIG)
    write_jsonl(tmp_path / "in/a.jsonl", [{"body": prose(1)}, {"body": "too few"}, {"body": "and so " * 9}])
    words = ["filter_documents", "--input-data-dir", f"{tmp_path}/in", f"--filter-config-file={tmp_path}/filters.yaml"]
    assert main([*words, "--output-retained-document-dir", f"{tmp_path}/out"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["dropped"] == {"too_few_words": 1, "one_3_gram_too_often": 1}
    (row,) = read_folder(tmp_path / "out/data")
    assert row["score_unique_lines"] == 1
    settings = settings_of_config(tmp_path / "filters.yaml")
    wanted = {
        "min_words": 5,
        "max_words": 100_000,
        "max_top_3_gram": 0.18,
        "min_unique_lines": 0.7,
        "min_stop_words": 1,
    }
    assert settings == {
        "preset": "none",
        "definitions": "nemo",
        "text_field": "body",
        "keep_scores": True,
        **wanted,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is no filter configuration, but list"),
        ("a: [", "cannot be read as a filter configuration"),
        ("filters: 3", "has no list 'filters'"),
        ("filters: [{params: {}}]", "filter 1 has no name"),
        ("filters: [{name: a.FastTextLangId}]", "filter 1: FastTextLangId is no rule of filter; use the step language"),
        ("filters: [{name: a.MyFilter}]", "filter 1: MyFilter is no rule of filter$"),
        ("filters: [{name: BulletsFilter, params: {max: 1}}]", "filter 1: BulletsFilter has no parameter 'max'"),
        ("filters: [{name: RepeatingTopNGramsFilter, params: {n: 9}}]", "filter has no threshold max_top_9_gram"),
    ],
)
def test_configurations_that_say_nothing_we_know_are_refused(tmp_path, text, message):
    (tmp_path / "filters.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        settings_of_config(tmp_path / "filters.yaml")


def test_every_filter_of_a_configuration_becomes_thresholds_with_its_defaults():
    """The limits of `preset=nemo` are those of the filters' defaults, repetition by n-grams set aside."""
    found = {}
    for name in data("filters.yaml"):
        found |= limits_of(name, {"n": 5} if "Duplicate" in name else {}, "here")
    preset = PRESETS["nemo"].limits
    assert {name: found[name] for name in preset if "gram" not in name} == {
        name: limit for name, limit in preset.items() if "gram" not in name
    }


@pytest.mark.parametrize("name", ["add_id", "minhash_buckets", "deidentify"])
def test_help_says_what_has_become_of_flags(name, capsys):
    assert main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert ("add-id input=IN output=OUT" in told and "--id-prefix  ->  prefix" in told) or name != "add_id"
    assert len(told) > 50


def test_the_page_is_current():
    page = Path(__file__).parents[2] / "docs/reference/old-names.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run tools/write_pages.py"
