"""Stop words in every language, words of scripts without blanks, extraction in either kind of language."""

import justext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_curator.extract.html import Extract, JusText, extract
from nemo_curator.filter.scores import registry
from nemo_curator.filter.scores.resources import Resources
from nemo_curator.filter.segment import segment, segmented
from nemo_curator.filter.thresholds import Quality
from nemo_curator.foundation.errors import ConfigError, InputError
from nemo_curator.language.stop_words import OWN, has_list, names, stop_words

CHINESE = "今天天气很好。我们去公园散步。"
JAPANESE = "今日は天気がいいです。散歩に行きましょう。"
THAI = "วันนี้อากาศดีมากเราไปเดินเล่นที่สวนสาธารณะ"
SENTENCES = {
    "en": "the cat and the dog sat on the mat",
    "de": "der Hund und die Katze sind auf dem Dach",
    "fr": "le chat est dans la maison avec les enfants",
    "ru": "это не то что было на столе и в доме",
    "ko": "그 사람 은 이 집 에서 수 있다",
    "ar": "هذا من الكتاب الذي كان في البيت على",
    "hi": "यह घर के पास है और वह से का",
    "zh": CHINESE,
    "ja": JAPANESE,
    "th": THAI,
}


def documents(texts, **columns):
    return pa.table({"text": pa.array(texts, pa.string()), **columns})


def score(name, texts, **resources):
    return registry.compute(documents(texts), [name], Resources(**resources))[name].tolist()


def reasons(texts, columns=None, **settings):
    return Quality(preset="none", **settings).open()(documents(texts, **(columns or {}))).reason.to_pylist()


def test_every_list_of_justext_has_a_code():
    variants = {"Belarusian_Taraskievica", "Simple_English"}  # of be and en
    assert set(names().values()) == justext.get_stoplists() - variants
    assert all(stop_words(code) for code in (*OWN, *names()))
    assert has_list("zh") and not has_list("tlh")


@pytest.mark.parametrize("language", SENTENCES)
def test_plain_sentences_have_stop_words_of_their_language(language):
    assert reasons([SENTENCES[language]], min_stop_words=2, stop_word_language=language) == [None]
    strange = SENTENCES["fr" if language != "fr" else "ru"]
    assert reasons([strange], min_stop_words=2, stop_word_language=language) == ["too_few_stop_words"]


def test_each_document_is_held_against_its_own_language_on_demand():
    texts = [*(SENTENCES[each] for each in ("en", "de", "zh")), "SEN vIHeghlu'meH QaQ jajvam", SENTENCES["fr"]]
    languages = pa.array(["en", "de", "zh", "tlh", "en"])
    settings = {"min_stop_words": 2, "stop_word_language": "auto"}
    assert reasons(texts, {"language": languages}, **settings) == [None, None, None, None, "too_few_stop_words"]
    with pytest.raises(InputError, match="stop_word_language=auto: no column 'language'"):
        reasons(texts, **settings)
    with pytest.raises(ConfigError, match="no stop words of language 'xx'"):
        reasons(texts, min_stop_words=2, stop_word_language="xx")


def test_ones_own_list_takes_the_place_of_the_eight_words_of_gopher(tmp_path):
    listed = tmp_path / "words.txt"
    listed.write_text("sela\nmora\n")
    assert reasons(["sela in mora", "the of and"], min_stop_words=2, stop_words=listed) == [None, "too_few_stop_words"]


def test_stop_words_without_blanks_are_found_anywhere():
    assert score("listed_stop_words", ["我们在这里", "山水"], stop_word_language="zh") == [4, 0]
    assert score("stop_word_share", ["我们在这里", "山水", "", "。"], stop_word_language="zh") == [1.0, 0, 0, 0]
    assert score("stop_word_share", ["山在水中。"], stop_word_language="zh") == [0.5]


def test_without_a_segmenter_words_are_cut_at_blanks():
    assert score("words", [CHINESE, "a b"]) == [1, 2]


def test_a_character_can_be_a_word():
    assert segment("天 ab漢字c", "characters").split() == ["天", "ab", "漢", "字", "c"]
    assert segment("カガ゙", "characters").split() == ["カ", "ガ゙"]
    assert segment("ที่นี่", "characters").split() == ["ที่", "นี่"]
    assert score("words", [CHINESE], segment="characters") == [13]
    assert segment("（漢字）天x“地”", "characters").split() == ["（漢", "字）", "天", "x“地”"]
    assert score("mean_word_length", ["漢字漢字"], segment="characters") == [1]


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_cutting_adds_nothing_but_blanks(text):
    cut = segment(text, "characters")
    assert "".join(cut.split()) == "".join(text.split())


def test_a_dictionary_cuts_chinese_japanese_and_thai():
    wanted = ["今天天气 很 好。 我们 去 公园 散步。", "今日 は 天気 が いい です。 散歩 に 行き ましょう。"]
    assert [" ".join(text.split()) for text in segmented([CHINESE, JAPANESE], "dictionary")] == wanted
    thai = segmented([THAI], "dictionary")[0].split()
    assert thai[:2] == ["วันนี้", "อากาศ"] and "".join(thai) == THAI
    assert segmented(["plain", "été"], "dictionary") == ["plain", "été"]


def test_lines_and_characters_are_those_of_the_text_as_it_is():
    names_kept = ["characters", "duplicate_line_characters", "special_characters", "short_lines", "bullet_lines"]
    texts = [f"{CHINESE}\n{CHINESE}\n", "plain words"]
    plain = registry.compute(documents(texts), names_kept, Resources())
    cut = registry.compute(documents(texts), names_kept, Resources(segment="characters"))
    assert {name: values.tolist() for name, values in plain.items()} == {k: v.tolist() for k, v in cut.items()}


def test_long_chinese_passes_gopher_with_words_and_fails_without():
    from random import Random

    draw = Random(0)
    text = "。\n".join("".join(chr(draw.randrange(0x4E00, 0x9FA5)) for _ in range(20)) for _ in range(8)) + "。"
    settings = {"preset": "gopher", "stop_word_language": "zh", "off": ["min_stop_words", "min_mean_word_length"]}
    assert Quality(**settings).open()(documents([text])).reason.to_pylist() == ["too_few_words"]
    assert Quality(**settings, segment="characters").open()(documents([text])).reason.to_pylist() == [None]


def test_repetition_by_words_agrees_with_the_same_text_with_blanks():
    spaced = "漢 字 漢 字 漢 字 天 地 天"
    packed = spaced.replace(" ", "")
    found = [[score(f"top_{n}_gram", [text], segment="characters")[0] for n in (2, 3, 4)] for text in (spaced, packed)]
    assert found[0] == found[1] and found[0][0] > 0.6


def test_shares_of_all_characters_are_of_the_text_as_it_is():
    """datatrove divides the characters of repeated words by those of the text, which has no blanks here."""
    words = [*"甲乙丙丁戊", *"甲乙丙丁戊", *"己庚辛"]
    (found,) = score("datatrove_duplicate_5_grams", ["".join(words)], segment="characters")
    assert found == pytest.approx(5 / 13)
    assert np.isclose(score("datatrove_words", ["".join(words)], segment="characters"), 13)


# Pages as in the peers' tests of their extractors: furniture, a line of links, two paragraphs.
PARAGRAPH = {
    "en": "This is the story of a river that runs from the hills to the sea, and of the people who live on its banks. "
    "They have been there for as long as anyone can tell, and they know where it is deep and where it is not.",
    "zh": "这是一条河的故事，它从山上流到海里，还有住在河边的人们的故事。他们在那里住了很久，知道哪里深哪里浅。" * 3,
}


def page(paragraph):
    links = "".join(f'<a href="/{n}">Menu {n}</a> ' for n in range(8))
    return f"<html><head><title>T</title></head><body><div>{links}</div><p>{paragraph}</p></body></html>".encode()


def test_justext_keeps_paragraphs_by_stop_words_where_there_are_words():
    found, _ = extract(page(PARAGRAPH["en"]), "", Extract(engine="justext"))
    assert found == PARAGRAPH["en"]


def test_justext_keeps_everything_of_languages_without_blanks():
    """NeMo Curator: no boilerplate is told in Chinese, Japanese, Korean and Thai."""
    found, _ = extract(page(PARAGRAPH["zh"]), "", Extract(engine="justext", language="zh"))
    assert "Menu 1" in found and found.endswith(PARAGRAPH["zh"])


def test_the_limits_of_justext_can_be_set():
    strict = Extract(engine="justext", justext=JusText(stopwords_low=0.9, stopwords_high=0.9))
    assert extract(page(PARAGRAPH["en"]), "", strict)[0] == ""


@pytest.mark.parametrize("engine", ["resiliparse", "trafilatura"])
def test_lines_without_stop_words_go_on_demand(engine):
    body = PARAGRAPH["en"] + "</p><p>Size: 12 Weight: 3 Colour: red Price: 4 Stock: none Code: 77"
    everything = extract(page(body), "", Extract(engine=engine))[0]
    assert "Weight" in everything
    kept = extract(page(body), "", Extract(engine=engine, min_stop_word_share=0.32))[0]
    assert kept == PARAGRAPH["en"]
    assert extract(page(PARAGRAPH["zh"]), "", Extract(engine=engine, language="zh", min_stop_word_share=0.32))[0]
