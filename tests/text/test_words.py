"""Words are made by one function: what is written alike, or means the same letters, is one word."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections import Counter

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from larimar_memory.text.normal import normalised
from larimar_memory.text.words import _WORD, _folded, _of_run, indexed, query_terms, words

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
LATIN = st.text(
    st.sampled_from([*map(chr, range(32, 0x250)), *"\u0300\u0301\u0308\u0327“”’—…ﬁﬃⅣ½²№℡ẞſK™①Ａ-\n\0"]),
    max_size=9,
)

ALIKE = [
    ("Ångström", "angstrom"),
    ("straße", "STRASSE"),
    ("Σίσυφος", "ΣΙΣΥΦΟΣ"),
    ("Ἀθῆναι", "Αθηναι"),
    ("ёлка", "елка"),
    ("за\u0301мок", "замок"),
    ("и\u0306", "й"),
    ("ｶﾞﾗｽ", "ガラス"),
    ("か\u3099", "が"),
    (unicodedata.normalize("NFD", "회의실"), "회의실"),
    ("أحمد", "احمد"),
    ("مُحَمَّد", "محمد"),
    ("مدرسة", "مدرسه"),
    ("علی", "علي"),
    ("می\u200cخواهم", "میخواهم"),
    ("שָׁלוֹם", "שלום"),
    ("ＡＢＣ１２", "abc12"),
    ("٧٧", "77"),
    ("१२", "12"),
    ("½", "1/2"),
    ("m²", "m2"),
    ("№ 5", "No 5"),
    ("Ⅳ", "iv"),
    ("ﬁnd", "find"),
    ("so\u00adft", "soft"),
    ("effi\u00ad\n  cient", "efficient"),
    ("\u200fA719\u200e", "a719"),
    ("zero\u200bwidth", "zerowidth"),
    ("Zoom™", "zoom"),
    ("𝐇𝐞𝐥𝐥𝐨", "hello"),
    ("İstanbul ISPARTA", "istanbul ısparta"),
    ("👍🏽", "👍"),
    ("☕️", "☕"),
    ("A1️⃣", "a1"),
    ("葛\U000e0100城", "葛城"),
    ("น\u0e49ำ", "น\u0e4d\u0e49า"),
    ("เเมว", "แมว"),
    ("ນ\u0ec9ຳ", "ນ\u0ecd\u0ec9າ"),
    ("ເເມວ", "ແມວ"),
]
APART = [
    ("й", "и"),
    ("їжак", "іжак"),
    ("が", "か"),
    ("ば", "ぱ"),
    ("कि", "की"),
    ("क्षेत्र", "कषेतर"),
    ("ที่", "ที"),
    ("🎂", "🚑"),
    ("🇩🇪", "🇫🇷"),
    ("♞", "♚"),
    ("⠓⠑", "⠓⠕"),
    ("ѓ", "г"),
    ("ќ", "к"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_letters_written_otherwise_are_the_same_word(one: str, other: str) -> None:
    assert words(one) == words(other) != []


@pytest.mark.parametrize(("one", "other"), APART)
def test_letters_that_differ_are_other_words(one: str, other: str) -> None:
    assert words(one) != words(other)


@pytest.mark.parametrize(
    "word", ["क्षेत्र", "नमस्ते", "ಕನ್ನಡ", "ਪੰਜਾਬੀ", "ሰላም", "გასაღები", "இலக்கம்", "հայերեն"]
)
def test_marks_do_not_cut_a_word(word: str) -> None:
    assert words(f"«{word}», {word}.") == [word, word]


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("昨天的报告由王芳负责修改。", "王芳"),
        ("黒い猫が庭で眠る", "猫"),
        ("リレーショナルデータベース", "データ"),
        ("고양이는 물을 마신다", "고양이"),
        ("고양이는 물을 마신다", "물"),
        ("กุญแจห้องประชุมอยู่ในลิ้นชัก", "ประชุม"),
        ("សោបន្ទប់ប្រជុំ", "បន្ទប់"),
        ("ກະແຈຫ້ອງປະຊຸມ", "ຫ້ອງ"),
        ("အစည်းအဝေးခန်းသော့", "ခန်း"),
        ("ꦲꦤꦕꦫꦏ", "ꦕꦫ"),
        ("ᬳᬦᬘᬭᬓ", "ᬘᬭ"),
        ("ᨴᩩᨦᨿᩢᨦ", "ᨿᩢᨦ"),
    ],
)
def test_a_word_inside_a_sentence_without_spaces_is_found(whole: str, part: str) -> None:
    asked = query_terms(part)
    assert asked
    assert set(asked) <= set(words(whole))


def test_a_lost_ligature_may_be_any() -> None:
    assert {"efficient", "e", "cient"} <= set(words("e\0cient"))
    assert {"name", "value"} <= set(words("name\0value"))
    assert {"two", "words"} <= set(words("two\0\0 \x01 words"))
    assert words("e\x0ecient") == ["efficient", "e", "cient"]
    assert words("end\x0cBegin") == ["endfibegin", "end", "begin"]
    assert len(words("a" + "\0a" * 5_000)) < 5_100


def test_a_hyphen_at_the_end_of_a_line_may_join() -> None:
    assert words("an exam-\nple") == ["an", "exam", "ple", "example"]
    assert words("1990-\n2000") == ["1990", "2000"]


def test_a_digit_that_this_python_does_not_know_is_kept() -> None:
    # The patterns know a newer Unicode than Python's tables do.
    digits = [c for c in map(chr, range(0x110000)) if regex.fullmatch(r"\p{Nd}", c)]
    assert len(digits) >= 650
    for digit in digits:
        assert words(f"{digit} lamps") == [str(unicodedata.decimal(digit, digit)), "lamps"]


@given(TEXT)
def test_words_do_not_change_with_how_a_text_is_composed(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == words(text)
    assert words(normalised(text)) == words(text)


@given(LATIN)
def test_the_short_way_for_latin_letters_leads_where_the_long_one_does(text: str) -> None:
    assert words(text) == [word for found in _WORD.finditer(_folded(text)) for word in _of_run(found)]


@given(st.lists(TEXT, max_size=4))
def test_a_text_index_holds_these_words_and_no_others(texts: list[str]) -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE f USING fts5(text, content='', tokenize='ascii')")
    db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(f, instance)")
    db.executemany("INSERT INTO f (rowid, text) VALUES (?, ?)", enumerate(map(indexed, texts), 1))
    for row, text in enumerate(texts, 1):
        found = db.execute("SELECT term FROM v WHERE doc = ? ORDER BY offset", (row,)).fetchall()
        assert [term for (term,) in found] == words(text)
    db.close()


def test_a_question_has_at_most_so_many_words() -> None:
    many = " ".join(f"w{n}" for n in range(20_000))
    assert query_terms(many) == [f"w{n}" for n in range(64)]
    assert Counter(query_terms("a b a")).most_common(1) == [("a", 1)]
