"""Verdicts of the peers' own test tables, scores against plain definitions and datatrove, presets, own scores."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_curator.filter.bitext import Bitext
from nemo_curator.filter.c4_lines import C4Lines
from nemo_curator.filter.contains import Contains
from nemo_curator.filter.overview import markdown
from nemo_curator.filter.presets import PRESETS
from nemo_curator.filter.quality import first_faults
from nemo_curator.filter.rules import RULES
from nemo_curator.filter.scores import registry
from nemo_curator.filter.scores.code import table
from nemo_curator.filter.scores.perplexity import load
from nemo_curator.filter.scores.resources import Resources
from nemo_curator.filter.thresholds import Limits, Quality, Thresholds
from nemo_curator.filter.urls import Urls
from nemo_curator.foundation.errors import ConfigError, InputError
from nemo_curator.kernels.tokens import split_tokens
from nemo_curator.testing.conformance import check_score
from nemo_curator.testing.corpora import prose


def documents(texts, **columns):
    return pa.table({"text": pa.array(texts, pa.string()), **columns})


def score(name, texts, resources=None, **columns):
    return registry.compute(documents(texts, **columns), [name], resources)[name].tolist()


def kept(texts, **limits):
    verdict = Quality(preset="none", **limits).open()(documents(texts))
    return [reason is None for reason in verdict.reason.to_pylist()]


# Texts and verdicts of NeMo Curator's own tests of these filters (tests/stages/text/modules/test_filters.py).
NEMO = {
    "max_non_alphanumeric": (0.25, ["", "This is a test case.", "%$^%$^%$&^$()))))", "$aaa"], [0, 1, 0, 1]),
    "max_digits": (0.1, ["purely letters", "34134543", "$!@$@!$!@", "abcdefghi1"], [1, 0, 1, 1]),
    "max_white_space": (0.25, ["\t\n\r", "good", "50%\n\n\n", "123\b"], [0, 1, 0, 1]),
    "max_parentheses": (0.1, ["()", "(not good)", "this is completely absolutely fine", "123456789("], [0, 0, 1, 1]),
    "max_word_length": (4, ["tiny", "large"], [1, 0]),
    "max_lines_without_end_mark": (0.8, ["not good", "good.", "just\n barely\n fine\n ok\n yep."], [0, 1, 1]),
    "min_alphabetic_words": (0.8, ["totally fine", "good good good good !", "@"], [1, 1, 0]),
    "max_pornographic_urls": (0, ["no url", "fine https://a.com/en-us/", "bad https://www.pornhub.com/"], [1, 1, 0]),
    "max_url_characters": (
        0.2,
        ["https://www.a.com/en-us/", "no urls here!", "words with url https://www.a.com/en-us/"],
        [0, 1, 0],
    ),
    "max_boilerplate_paragraphs": (
        0.4,
        [
            "nothing\t here",
            "1\n\n2\n\n3\n\n4\n\n5\n\n6\n\nterms of use\n\n privacy policy\n\n cookie policy\n\nuses cookies",
            "too much \n\n privacy & cookies policy",
            "Any cookies that may not be particularly necessary are set",
        ],
        [1, 1, 0, 0],
    ),
    "min_unique_paragraph_characters": (
        0.8,
        [
            "totally unique",
            "a.\n\n  a.\n\n  very very very short duplicate.",
            "half.\n\nhalf.",
            "super very incredibly huge long duplicate.\n\nsuper very incredibly huge long duplicate.\n\n  a.\n\n  b.",
        ],
        [1, 1, 0, 0],
    ),
    "max_symbols_per_word": (
        0.1,
        ["mixed bag ... #", "full of words", "... # ... # #", "barely ok 3 4 5 6 7 8 9 #"],
        [0, 1, 0, 1],
    ),
    "max_bullet_lines": (
        0.9,
        [
            "• not good",
            "good",
            "50 \n ⦾ 50",
            "⁌ this \n⁌ should \n⁌barely \n⁌pass \n⁌5 \n⁌6 \n⁌7 \n⁌8 \n⁌9 \n done!",
        ],
        [0, 1, 1, 1],
    ),
    "max_ellipsis_lines": (0.8, ["not good...", "good.", "just...\n barely...\n fine...\n ok...\n yep."], [0, 1, 1]),
    "min_stop_words": (2, ["uncommon", "the and", "the and and of to"], [0, 1, 1]),
    "max_top_2_gram": (
        0.2,
        [
            "this is a totally fine sentence with no repeat ngrams so we are ok",
            "a b . a b",
            "a a a a a a",
            "totally fine small dupe a b a b",
        ],
        [1, 0, 0, 1],
    ),
}


@pytest.mark.parametrize("threshold", NEMO)
def test_verdicts_are_those_of_nemo_curator(threshold):
    limit, texts, wanted = NEMO[threshold]
    assert kept(texts, definitions="nemo", **{threshold: limit}) == [bool(each) for each in wanted]


def test_duplicate_ngrams_are_those_of_nemo_curator():
    texts = ["a a b b a a b b", "totally fine", "a a a a this should be fine as well"]
    scores = score("nemo_duplicate_2_grams", texts)
    assert [value <= 0.2 for value in scores] == [False, True, True]


def test_repeated_lines_of_nemo_curator_are_a_minimum_of_unique_ones():
    texts = ["one\ntwo\nthree", "one\none\none\ntwo"]
    assert score("unique_lines", texts) == [1.0, 0.5]
    assert kept(texts, min_unique_lines=0.7) == [True, False]


def nemo_top(text, n):
    """NeMo Curator's definition, word for word; of equally frequent n-grams the first."""
    words = text.split()
    if len(words) < n:
        return 1.0
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    first = max(dict.fromkeys(grams), key=grams.count)
    return (len(text) - len(text.replace(" ".join(first), ""))) / len(text)


def nemo_duplicates(text, n):
    words = text.split()
    if len(words) < n:
        return 1.0
    seen, characters, overlap = set(), 0, 0
    for gram in zip(*(words[i:] for i in range(n)), strict=False):
        if gram in seen:
            characters += sum(map(len, gram[overlap:])) + min(n - overlap, n - 1)
            overlap = n
        seen.add(gram)
        overlap = max(overlap - 1, 0)
    return characters / len(text)


WORDS = st.lists(st.sampled_from(["a", "bb", "été", "the", "...", "x#"]), max_size=40).map(" ".join)


@settings(deadline=None, max_examples=100)
@given(WORDS)
def test_ngram_shares_equal_the_definitions_of_nemo_curator(text):
    names = [*(f"nemo_top_{n}_gram" for n in (2, 3, 4)), *(f"nemo_duplicate_{n}_grams" for n in range(2, 11))]
    found = registry.compute(documents([text]), names)
    for n in (2, 3, 4):
        assert found[f"nemo_top_{n}_gram"][0] == pytest.approx(nemo_top(text, n))
    for n in range(2, 11):
        assert found[f"nemo_duplicate_{n}_grams"][0] == pytest.approx(nemo_duplicates(text, n))


def tokens(text):
    data = np.frombuffer(text.encode(), np.uint8)
    found = split_tokens(data)
    return [data[start:end].tobytes().decode() for start, end in zip(found.starts, found.ends, strict=True)]


def test_tokens_are_words_and_runs_of_signs():
    assert tokens("Don't stop... “été” x_1 (a,b) 3.5") == [
        *("Don't", "stop", "...", "“", "été", "”", "x_1", "(", "a", ",", "b", ")", "3.5")
    ]


def test_signs_within_words_part_them_as_spacy_has_it():
    """Words of spaCy's blank English tokenizer, version 3.8."""
    text = "os.path end.Start f(x) well-known 1-2 a/b 1/2 key=value x=1 a@b.org 3*4 a_b! x:y 12:30 (z)"
    assert tokens(text) == [
        *("os.path", "end", ".", "Start", "f(x", ")", "well", "-", "known", "1", "-", "2", "a", "/", "b", "1/2"),
        *("key", "=", "value", "x=1", "a@b.org", "3", "*", "4", "a_b", "!", "x", ":", "y", "12:30", "(", "z", ")"),
    ]


TEXT = st.lists(
    st.sampled_from(
        [
            "I am",
            "the be",
            "end.",
            "...",
            "#",
            "\n",
            "\n\n",
            "\n  \n",
            "• x",
            "- y",
            "été…",
            "of,",
            "word " * 7,
            "?",
            "\r\n",
        ]
    ),
    min_size=1,
    max_size=40,
).map(" ".join)
FAULTS = {
    "gopher_short_doc": "too_few_words",
    "gopher_long_doc": "too_many_words",
    "gopher_below_avg_threshold": "words_too_short",
    "gopher_above_avg_threshold": "words_too_long",
    "gopher_too_many_hashes": "too_many_symbols",
    "gopher_too_many_ellipsis": "too_many_symbols",
    "gopher_too_many_bullets": "too_many_bullets",
    "gopher_too_many_end_ellipsis": "too_many_ellipses",
    "gopher_below_alpha_threshold": "too_few_alphabetic_words",
    "gopher_enough_stop_words": "too_few_stop_words",
    "line_punct_ratio": "too_few_punctuated_lines",
    "short_line_ratio": "too_many_short_lines",
    "char_dup_ratio": "too_much_text_in_repeated_lines",
    "list_ratio": "too_many_newlines",
    "dup_line_frac": "too_many_duplicate_lines",
    "dup_line_char_frac": "too_much_text_in_duplicate_lines",
    "dup_para_frac": "too_many_duplicate_paragraphs",
    "dup_para_char_frac": "too_much_text_in_duplicate_paragraphs",
    **{f"top_{n}_gram": f"one_{n}_gram_too_often" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"too_many_repeated_{n}_grams" for n in range(5, 11)},
}


@pytest.fixture(scope="module")
def datatrove():
    """datatrove's three filters, with our tokens where it would ask spaCy for words."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters import fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    patch = pytest.MonkeyPatch()
    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        patch.setattr(module, "split_into_words", lambda text, _: tokens(text))
    yield {
        "quality": filters.GopherQualityFilter(min_doc_words=3),
        "repetition": filters.GopherRepetitionFilter(),
        "fineweb": filters.FineWebQualityFilter(),
    }
    patch.undo()


LIMITS = {
    "quality": [
        f"{a}_{b}"
        for a, b in [
            ("min", "words"),
            ("max", "words"),
            ("min", "mean_word_length"),
            ("max", "mean_word_length"),
            ("max", "symbols_per_word"),
            ("max", "bullet_lines"),
            ("max", "ellipsis_lines"),
            ("min", "alphabetic_words"),
            ("min", "stop_words"),
        ]
    ],
    "repetition": ["max_duplicate_", "max_top_"],
    "fineweb": ["min_punctuated", "max_short", "max_repeated_line", "max_newlines"],
}


@settings(deadline=None, max_examples=150)
@given(TEXT)
def test_faults_are_those_of_datatrove(datatrove, text):
    from datatrove.data import Document

    if not text.strip() or not tokens(text) or all(not re.search(r"\w", t) for t in tokens(text)):
        return
    quality = Quality(preset="fineweb", min_words=3)
    for name, peer in datatrove.items():
        limits = {k: v for k, v in quality.limits().items() if k.startswith(tuple(LIMITS[name]))}
        found = registry.compute(documents([text]), [quality.score_of(r.score) for r in RULES if r.threshold in limits])
        ours = {
            rule.reason
            for rule in RULES
            if rule.threshold in limits
            and rule.at_fault(found[quality.score_of(rule.score)], limits[rule.threshold])[0]
        }
        verdict = peer.filter(Document(text=text, id="0"))
        assert (verdict is True) == (not ours), (name, verdict, ours)
        assert verdict is True or FAULTS[verdict[1]] in ours, (name, verdict, ours)


# Texts and verdicts of datatrove's own tests (tests/pipeline/filters/test_filters.py).
GOOD = "\n".join(
    [
        "This is a well-written paragraph with several sentences.",
        "The content continues with more good information here.",
        "Another important point is being made in this line.",
        "We can see that this document has quality content.",
        "Finally, the conclusion wraps everything up nicely.",
    ]
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        (GOOD.replace("several sentences", "lorem ipsum dolor"), "placeholder_text"),
        (GOOD.replace("with several", "with { several"), "curly_brackets"),
        ("Just one sentence.", "too_few_sentences"),
    ],
)
def test_c4_keeps_and_drops_pages_as_datatrove_does(text, reason):
    verdict = C4Lines().open()(documents([text]))
    assert verdict.reason.to_pylist() == [reason]
    assert reason or verdict.documents["text"][0].as_py() == text


def test_c4_removes_lines():
    text = "\n".join(
        [
            "This site uses cookies for tracking.",
            "Please enable javascript in your browser.",
            "Home | About | Contact",
            "Too short.",
            "It rained all day [3] in the town.",
            "And so it goes on and on...",
        ]
    )
    verdict = C4Lines(min_sentences=1).open()(documents([text]))
    assert verdict.documents["text"].to_pylist() == ["It rained all day  in the town."]
    verdict = C4Lines(min_sentences=0, end_marks=False).open()(documents([text]))
    assert "Home | About | Contact" in verdict.documents["text"][0].as_py()


@pytest.mark.parametrize("source", ["Home\nNo end", ""])
def test_c4_drops_pages_without_a_line(source):
    assert C4Lines(min_sentences=0).open()(documents([source])).reason.to_pylist() == ["no_line_left"]


def test_mc4_wants_three_long_lines():
    line = "x" * 250
    texts = [f"{line}\n{line}\n{line}", "short\nshort\nshort", f"{line}\n{line}"]
    assert score("third_longest_line", texts) == [250, 5, 0]


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_characters_are_classed_as_python_classes_them(text):
    names = ["characters", "alphabetic_characters", "alphanumeric_characters", "digits", "longest_word", "longest_line"]
    found = {name: values[0] for name, values in registry.compute(documents([text]), names).items()}
    n = len(text)
    assert found["characters"] == n
    assert found["longest_word"] == max(map(len, text.split()), default=0)
    assert found["longest_line"] == max(map(len, text.split("\n")))
    if n:
        assert found["alphabetic_characters"] == pytest.approx(sum(map(str.isalpha, text)) / n)
        assert found["alphanumeric_characters"] == pytest.approx(sum(map(str.isalnum, text)) / n)
        assert found["digits"] == pytest.approx(sum(map(str.isdecimal, text)) / n)


# Texts and verdicts of NeMo Curator's own tests of its code filters.
def test_comments_of_python_and_c():
    python = [
        "# Good code\nprint('hello world')",
        "print('bad code')",
        "# Too many\n# comments!",
        "'''Good comment'''\nprint('hello world')",
    ]
    verdicts = [0.01 <= value <= 0.85 for value in score("comments", python)]
    assert verdicts == [True, False, False, True]
    c = [
        '// Good code\nprintf("hello world\\n")',
        'printf("bad // code\\n")',
        "// Way far too many\n// comments!",
        '/*\nGood comment\n*/\nprintf("hello world\\n")',
    ]
    verdicts = [0.01 <= value <= 0.85 for value in score("comments", c, Resources(comments_of="c++"))]
    assert verdicts == [True, False, False, True]
    assert score("comments", ["def broken(:"]) == [0.0]
    with pytest.raises(ConfigError, match=r"comments_of='pyton' is unknown; did you mean 'python'"):
        Quality(preset="code", comments_of="pyton").open()(documents(["x"]))


def test_xml_headers_and_visible_text():
    assert score("xml_header", ["no header", '<?xml version="1.0"?>', "x" * 120 + '<?xml version="1.0"?>']) == [0, 1, 0]
    page = "<html><script>" + "var x = 1;" * 10 + "</script><p>" + "word " * 30 + "</p></html>"
    (share,) = score("visible_text", [page])
    assert share == pytest.approx(150 / len(page))
    assert score("visible_text", ["<p>too short</p>", ""]) == [0, 0]


def test_comments_and_visible_text_are_counted_as_nemo_curator_counts_them():
    """Figures of NeMo Curator 0.9: docstrings are joined by newlines; blanks alone between tags count as one."""
    source = '"""One."""\n# two\ndef f():\n    """Three"""\n'
    assert score("comments", [source]) == [pytest.approx(len("One.\nThree" + "# two") / len(source))]
    page = "<ul>\n   <li>" + "word " * 30 + "</li>\n\n\n</ul><pre>  \n  </pre>"
    assert score("visible_text", [page]) == [pytest.approx((1 + 150 + 1 + 5) / len(page))]


def test_files_fit_their_extension():
    source = "int main() {\n  return add_all_the_numbers(1, 2, 3);\n}\n"
    found = score(
        "fits_extension",
        [source, source, "x" * 2000, source],
        programming_language=["C++", "C++", "C++", "Klingon"],
        extension=["cpp", "nope", ".cpp", "cpp"],
    )
    assert found == [1, 0, 0, 0]
    assert table()["python", "py"].include


def test_perplexity_equals_the_closed_form(tmp_path):
    arpa = tmp_path / "model.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-1.0\t<unk>\n-99\t<s>\t-0.3\n-0.5\ta\t-0.2\n-0.7\t</s>\n\n"
        "\\2-grams:\n-0.1\t<s> a\n-0.4\ta </s>\n\n\\end\\\n"
    )
    model = load(arpa)
    assert model.perplexity("a") == pytest.approx(10 ** ((0.1 + 0.4) / 2))
    # <s> b: backoff of <s> and <unk>; b </s>: no backoff for <unk>
    assert model.perplexity("b") == pytest.approx(10 ** ((0.3 + 1.0 + 0.7) / 2))
    assert kept(["A", "b"], ngram_model=arpa, max_perplexity=3) == [True, False]
    (tmp_path / "no.arpa").write_text("\\1-grams:\nnonsense\n")
    with pytest.raises(ConfigError, match=r"no.arpa:2: 'nonsense' is no 1-gram"):
        load(tmp_path / "no.arpa")


def test_tokens_are_those_of_your_tokenizer(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "bb": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    resources = Resources(tokenizer=tmp_path)
    assert score("tokens", ["a bb a", ""], resources) == [3, 0]
    assert score("characters_per_token", ["a bb a", ""], resources) == [2.0, -1.0]
    with pytest.raises(ConfigError, match=r"tokenizer is required, because a rule counts tokens"):
        score("tokens", ["a"])


def test_repetition_and_lists_as_data_juicer_measures_them(tmp_path):
    flagged = tmp_path / "flagged.txt"
    flagged.write_text("# mine\nDarn\n")
    resources = Resources(flagged_words=flagged)
    assert score("flagged_words", ["darn it, Darn", "fine"], resources) == [pytest.approx(2 / 3), 0]
    assert score("stop_word_share", ["the cat and the dog", "cat dog"]) == [pytest.approx(3 / 5), 0]
    assert score("word_repetition", ["a b c d e f g h i j " * 2, "no repetition here"]) == [pytest.approx(2 / 11), 0]
    assert score("character_repetition", ["ab" * 20, "abcdefghijklmnop", "short"])[1:] == [0, 0]
    with pytest.raises(ConfigError, match="max_flagged_words needs your list"):
        Quality(max_flagged_words=0.1)


def test_every_rule_has_a_threshold_a_score_and_a_source():
    fields = Thresholds.__dataclass_fields__
    known = registry.homes()
    assert {rule.threshold for rule in RULES} == set(fields)
    assert len({rule.reason for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.score in known, rule
        assert re.search(r"\(.+\)", rule.about), rule


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_judges(preset):
    verdict = Quality(preset=preset, keep_scores=True).open()(documents([prose(n) for n in range(3)]))
    added = [field.name for field in Quality(preset=preset, keep_scores=True).columns()]
    assert verdict.documents.column_names == ["text", *added]


def test_scores_that_are_columns_already_are_not_computed_again():
    scored = Quality(keep_scores=True, drop=False).open()(documents([prose(1), "too short"]))
    assert scored.reason.null_count == 2
    altered = scored.documents.set_column(0, "text", pa.array(["", ""]))
    strict = Quality(preset="none", min_words=20).open()(altered)
    assert strict.reason.to_pylist() == [None, "too_few_words"]
    afresh = Quality(preset="none", min_words=20, afresh=True).open()(altered)
    assert afresh.reason.to_pylist() == ["too_few_words"] * 2


def exclamations(texts):
    """A score of one's own: exclamation marks per text."""
    return [text.count("!") for text in texts]


def test_a_score_of_ones_own_is_one_function(monkeypatch, tmp_path):
    (tmp_path / "own_scores.py").write_text("def loud(texts):\n    return [text.count('!') for text in texts]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    quality = Quality(preset="none", custom={"own_scores:loud": Limits(max=1)}, keep_scores=True)
    verdict = quality.open()(documents(["hey!", "hey!!"]))
    assert verdict.reason.to_pylist() == [None, "loud_too_high"]
    assert verdict.detail.to_pylist()[1] == "loud 2, max 1"
    assert verdict.documents["score_loud"].to_pylist() == [1.0, 2.0]
    check_score(exclamations)
    with pytest.raises(AssertionError, match="depends on the texts beside it"):
        check_score(lambda texts: [len(texts)] * len(texts))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", r"no score 'nowhere' is installed"),
        ("no_such_module:f", r"'no_such_module:f' cannot be found"),
        ("math:pi", r"'math:pi' is no function but float"),
    ],
)
def test_scores_that_cannot_be_found_are_named(name, message):
    with pytest.raises(ConfigError, match=message):
        Quality(preset="none", custom={name: Limits(max=1)}).open()


def test_a_score_that_fails_is_named():
    with pytest.raises(InputError, match=r"custom: math:sqrt failed on a batch of 2 texts: TypeError"):
        Quality(preset="none", custom={"math:sqrt": Limits(max=1)}).open()(documents(["a", "b"]))
    with pytest.raises(InputError, match=r"builtins:len: gave \(\) numbers for 2 texts; give one for each"):
        Quality(preset="none", custom={"builtins:len": Limits(max=1)}).open()(documents(["a", "b"]))


def test_missing_columns_and_unknown_scores_are_named():
    with pytest.raises(InputError, match="no column 'language_score': put the step 'language' before"):
        Quality(preset="none", min_language_score=0.5).open()(documents(["x"]))
    with pytest.raises(ConfigError, match=r"unknown score 'wordz'; did you mean 'words'"):
        Quality(preset="none", extra_scores=["wordz"]).open()(documents(["x"]))


# Addresses and verdicts of datatrove's own test of its URL filter.
def test_addresses_on_lists_are_dropped(tmp_path):
    (tmp_path / "domains").write_text("blocked.com\ndanger.org\nbadsubdomain.nice.com\n")
    (tmp_path / "soft").write_text("cheap\npills\n")
    step = Urls(blocked_domains=tmp_path / "domains", soft_banned_words=tmp_path / "soft").open()
    urls = {
        "https://blocked.com/some-sub-url?with=stuff": "blocked_domain",
        "http://hey.danger.org/some-sub-url?with=stuff": "blocked_domain",
        "https://nice.com/some-sub-url?with=stuff": None,
        "https://badsubdomain.nice.com/some": "blocked_domain",
        "https://blocke.dcom/some-sub-url": None,
        "https://x.org/cheap": None,
        "https://x.org/cheap-pills": "several_soft_banned_words_in_url",
    }
    verdict = step(documents(["x"] * len(urls), url=list(urls)))
    assert verdict.reason.to_pylist() == list(urls.values())
    with pytest.raises(ConfigError, match="give at least one list"):
        Urls().open()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"text": "all"}, [None, None, "lacks_wanted_text", "lacks_wanted_text"]),
        ({"text": "all", "position": "prefix"}, [None, "lacks_wanted_text", "lacks_wanted_text", "lacks_wanted_text"]),
        ({"text": "ones", "position": "suffix"}, [None, "lacks_wanted_text", "lacks_wanted_text", "lacks_wanted_text"]),
        ({"pattern": "(?i)copy.ight", "keep": False}, [None, None, "holds_unwanted_text", None]),
    ],
)
def test_documents_are_kept_or_dropped_by_a_text(settings, wanted):
    texts = documents(["all good ones", "not all", "a CoPyRiGhT", ""])
    assert Contains(**settings).open()(texts).reason.to_pylist() == wanted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "set either text or pattern"),
        ({"text": "a", "pattern": "b"}, "set either text or pattern"),
        ({"pattern": "("}, r"contains.pattern='\(' is no regular expression"),
        ({"pattern": "a", "position": "prefix"}, r"contains.position=prefix goes with text; say \\A or \\Z"),
    ],
)
def test_what_to_look_for_must_be_said_once_and_rightly(settings, message):
    with pytest.raises(ConfigError, match=message):
        Contains(**settings)


def test_pairs_that_are_no_translations_are_dropped(tmp_path):
    (tmp_path / "en").write_text("\n".join("abcdefghijklmnopqrstuvwxyz ") + "\n]\nä\n")
    step = Bitext(source_histogram=tmp_path / "en", alignment_column="laser", min_alignment=0.9).open()
    pairs = [
        ("a cat", "eine katze", 0.95, None),
        ("a", "eins zwei drei vier", 0.95, "lengths_do_not_match"),
        ("", "leer", 0.95, "untranslated"),
        ("äöü ß", "zwei wörter", 0.95, "source_in_another_language"),
        ("a dog", "eine katze", 0.5, "poorly_aligned"),
    ]
    table_of = documents([p[0] for p in pairs], translation=[p[1] for p in pairs], laser=[p[2] for p in pairs])
    assert step(table_of).reason.to_pylist() == [p[3] for p in pairs]
    with pytest.raises(InputError, match="bitext: no column 'translation'"):
        Bitext().open()(documents(["x"]))


def test_the_first_fault_is_told_with_its_figures():
    scores = registry.compute(documents(["a b"]), ["words"])
    assert first_faults(scores, {"min_words": 3}) == (["too_few_words"], ["words 2, min_words 3"])


def test_the_page_of_filters_is_that_of_the_rules():
    page = Path(__file__).parents[2] / "docs/reference/filters.md"
    if not page.is_file():
        pytest.skip("the documentation is not beside the package")
    assert page.read_text(encoding="utf-8") == markdown(), "run tools/write_pages.py"


def test_the_example_is_a_score():
    path = Path(__file__).parents[2] / "examples/curator-score/curator_score.py"
    if not path.is_file():
        pytest.skip("the examples are not beside the package")
    spec = importlib.util.spec_from_file_location("curator_score", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    check_score(module.shouting)
    assert module.shouting(["BUY NOW, ok", "calm"]) == [pytest.approx(2 / 3), 0.0]
