"""Built-in rewards on answers whose worth is plain to see, and the mixture a recipe makes of them."""

import pytest

from nemo_aligner.rewards.builtin import BUILT_IN
from nemo_aligner.rewards.conformance import check_reward
from nemo_aligner.rewards.mixture import Mixture
from nemo_aligner.rewards.registry import find_reward
from nemo_aligner.rewards.sample import Sample
from nemo_aligner.settings.reward import RewardUse
from nemo_core.foundation.errors import ConfigError, InputError

ROW = {
    "id": "r1",
    "subject": "os.path",
    "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "The os.path module."}],
}


def sample(answer, *, finished=True, row=ROW):
    return Sample(answer=answer, row=row, num_tokens=len(answer), is_finished=finished)


def score(name, answer, *, finished=True, **options):
    (value,) = find_reward(name, options)([sample(answer, finished=finished)])
    return value


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("mentions_subject", "OS.path joins names.", 1.0),
        ("mentions_subject", "It is about a path.", 0.5 * 4 / 7),
        ("mentions_subject", "OS.PATHS", 0.5),
        ("mentions_subject", "", 0.0),
        ("ends_with_full_stop", "It ends. ", 1.0),
        ("ends_with_full_stop", "It does not", 0.5),
        ("concise", "four words are enough", 1.0),
        ("concise", "two words", 0.5),
        ("concise", "", 0.0),
        ("no_repetition", "a b c a b c", 0.75),
        ("no_repetition", "all different words here", 1.0),
        ("no_repetition", "", 0.0),
        ("exact_match", "the os.path  module.", 1.0),
        ("exact_match", "the module", 0.0),
        ("reference_overlap", "The os.path module.", 1.0),
        ("reference_overlap", "the", 0.4),
    ],
)
def test_an_answer_is_worth(name, answer, expected):
    assert score(name, answer) == pytest.approx(expected)


def test_an_answer_that_was_cut_off_did_not_end_with_a_full_stop():
    assert score("ends_with_full_stop", "Cut off.", finished=False) == 0.0


def test_concise_falls_linearly_beyond_its_limit():
    assert score("concise", "w " * 15, max_words=10) == pytest.approx(0.5)
    assert score("concise", "w " * 20, max_words=10) == 0.0


def test_regex_searches_the_answer():
    assert score("regex", "It is 42.", pattern=r"\d+") == 1.0
    assert score("regex", "It is not.", pattern=r"\d+") == 0.0


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_reward_keeps_the_protocol(name):
    options = {"pattern": "a"} if name == "regex" else {}
    check_reward(find_reward(name, options), [sample("a path."), sample("", finished=False), sample("x " * 90)])


def test_conformance_names_the_rule_that_a_reward_breaks():
    with pytest.raises(AssertionError, match="one score per sample"):
        check_reward(lambda samples: [1.0], [sample("a"), sample("b")])
    with pytest.raises(AssertionError, match="does not depend on other samples"):
        check_reward(lambda samples: [float(len(samples))] * len(samples), [sample("a"), sample("b")])


def test_the_mixture_is_the_weighted_mean_and_keeps_its_parts():
    mixture = Mixture([RewardUse(use="exact_match", weight=3.0), RewardUse(use="concise", weight=1.0)])
    scores = mixture.score([sample("one two three four"), sample("The os.path module. ok")])
    assert scores.total == [0.25, 0.25]
    assert scores.parts == {"exact_match": [0.0, 0.0], "concise": [1.0, 1.0]}


def test_a_sample_that_a_part_could_not_score_has_no_total(tmp_path, monkeypatch):
    (tmp_path / "half_blind.py").write_text(
        "def reward(samples, *, word='b'):\n"
        "    return [None if word in s.answer else float('nan') if 'n' in s.answer else 1.0 for s in samples]\n"
    )
    monkeypatch.chdir(tmp_path)
    mixture = Mixture([RewardUse(use="half_blind:reward", options={"word": "x"}), RewardUse(use="concise")])
    assert mixture.score([sample("a"), sample("x"), sample("n")]).total == [pytest.approx(0.625), None, None]


def test_the_same_reward_twice_keeps_both_parts_apart():
    uses = [RewardUse(use="concise"), RewardUse(use="concise", options={"max_words": 1})]
    assert list(Mixture(uses).score([sample("a b")]).parts) == ["concise", "concise#2"]


@pytest.mark.parametrize(
    ("uses", "message"),
    [
        ([], "rewards: is empty"),
        ([RewardUse(use="concise", weight=0.0)], "every weight is 0"),
        ([RewardUse(use="concize")], "unknown reward 'concize'; did you mean 'concise'"),
        ([RewardUse(use="concise", options={"max_word": 3})], "unknown option 'max_word'; did you mean 'max_words'"),
        ([RewardUse(use="regex")], "needs the option 'pattern'"),
        ([RewardUse(use="regex", options={"pattern": "("})], "'\\(' is no pattern"),
        ([RewardUse(use="no_such_module:reward")], "no module 'no_such_module'"),
        ([RewardUse(use="json:dump_s")], "json has no function 'dump_s'; did you mean 'dumps'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(uses, message):
    with pytest.raises(ConfigError, match=message):
        Mixture(uses)


def test_a_row_without_the_field_a_reward_reads_is_named():
    with pytest.raises(InputError, match=r"row 'r2': has no 'subject'.*it has: id"):
        Mixture([RewardUse(use="mentions_subject")]).score([sample("a", row={"id": "r2"})])


def test_a_reward_that_fails_is_named_with_its_error():
    with pytest.raises(InputError, match=r"reward 'math:sqrt' failed with TypeError"):
        Mixture([RewardUse(use="math:sqrt")]).score([sample("a")])
