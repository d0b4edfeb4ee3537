"""Reads in every script: by words where the encoder knows too little, never by what it cannot read."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.notes import NOTES
from larimar_memory.encoders.sentence import SentenceEncoder
from larimar_memory.larimar import Larimar

ASKED = 60
NAMED = {
    "Korean": (
        "김 이 박 최 정 강 조 윤 장 임",
        "민준 서연 도윤 하은 시우 지유 예준 수아 주원 지호",
        "님",
    ),
    "Russian": (
        "Андрей Николай Сергей Алексей Матвей Тимофей Юрий Василий Дмитрий Евгений",
        "Зайцев Крайнов Йодко Майоров Лейкин Гайдай Бойко Райский Чайкин Ройзман",
        "",
    ),
    "Greek": (
        "Νίκος Ελένη Γιάννης Μαρία Κώστας Άννα Πέτρος Σοφία Μιχάλης Ιωάννα",
        "Παπαδόπουλος Οικονόμου Γεωργίου Ιωάννου Αλεξίου Νικολάου Πέτρου Δήμου Κυριάκου Ράπτης",
        "",
    ),
    "Ukrainian": (
        "Їжак Юлія Софія Марія Надія Олексій Андрій Сергій Віталій Геннадій",
        "Їжакевич Київський Українець Мартиняк Гнатюк Зінченко Кравчук Бойчук Лесів Дзюба",
        "",
    ),
    "kana": (
        "がく かく ばん ぱん はん ざつ さつ だい たい ぎん",
        "ガロ カロ バル パル ハル ジン シン デン テン グリ",
        "",
    ),
    "Arabic": (
        "أحمد إبراهيم آدم رؤى مؤمن سائد هانئ سناء أسماء إيمان",
        "الأسود الإمام الآغا رؤوف مسؤول القائد النائب البراء شيماء دعاء",
        "",
    ),
    "Hindi": (
        "क्षितिज त्रिशा ज्ञान श्रुति प्रिया कृष्ण चन्द्र स्नेह द्वारका विद्या",
        "मिश्रा शर्मा वर्मा गुप्ता चौधरी त्रिपाठी द्विवेदी श्रीवास्तव सिन्हा कुलकर्णी",
        "",
    ),
    "Thai": (
        "สมชาย สมหญิง มานี ปิติ ชูใจ วีระ เพชร ดวงแก้ว จันทร์ สมศรี",
        "ใจดี แสงทอง ศรีสุข บุญมา ทองคำ มีสุข ดีงาม รักไทย พรมมา แก้วใส",
        "",
    ),
    "fullwidth": ("Ａ Ｂ Ｃ Ｄ Ｅ Ｆ Ｇ Ｈ Ｊ Ｋ", "１ ２ ３ ４ ５ ６ ７ ８ ９ ０", ""),
    "fractions": ("½ ⅓ ¼ ⅕ ⅙ ⅛ ⅔ ¾ ⅖ ⅗", "№１ №２ №３ №４ m² m³ x⁵ x⁶ ① Ⅶ", ""),
    "Macedonian": (
        "Ѓорѓи Горги Ќиро Киро Љубо Лубо Њего Него Јован Јово",
        "Стоянов Стојанов Йово Иво Ќосев Косев Ѓуров Гуров Џајков Цајков",
        "",
    ),
    "flags": ("🇩🇪 🇫🇷 🇮🇹 🇯🇵 🇧🇷 🇨🇦 🇳🇴 🇰🇪 🇵🇱 🇬🇷", "☕ 🧁 🏠 🎂 🚑 ♞ ♚ ⚓ ⚽ ⛵", ""),
    "Latin": (
        "Ana Bea Carl Dora Emil Fred Gus Hana Ivo Jan",
        "Ålund Čapek Dvořák Éluard Fröhlich Gómez Høyer Ibáñez Jönsson Król",
        "",
    ),
}


class Same:
    """Every text has the same key: words alone tell them apart."""

    fingerprint, dimension = "same", 4

    def encode(self, texts: Sequence[str], kind: str = "segment") -> np.ndarray:
        return np.full((len(texts), 4), 0.5, dtype=np.float32)


def names(script: str) -> list[str]:
    first, second, ending = NAMED[script]
    found = (f"{one} {other}{ending}" for one, other in product(first.split(), second.split()))
    return list(islice(found, 100))


def right_first(memory: Larimar, script: str, numbers: int, *, form: str = "NFC") -> int:
    """Of 60 names, for how many a question about the name finds its note first."""
    asked = names(script)
    told = [
        f"Номер шкафа, который принадлежит {name}: {n * 37 % 9000 + 1000}."
        for n, name in enumerate(asked)
    ]
    more = [f"Номер шкафа в коридоре {n}: {n * 91 % 9000 + 1000}." for n in range(numbers - len(told))]
    memory.write(told + more, ids=[str(n) for n in range(numbers)])
    found = 0
    for n, name in enumerate(asked[:ASKED]):
        question = f"Какой номер у шкафа, который принадлежит {name}?"
        readout = memory.read(unicodedata.normalize(form, question), threshold=0)
        found += readout.segments[0].document_id == str(n)
    return found


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("script", NAMED)
def test_a_name_is_found_by_its_words_in_any_script(script: str, form: str, tmp_path: Path) -> None:
    for path in (None, tmp_path / "m.larimar"):
        with Larimar.open(path, encoder=Same()) as memory:
            assert right_first(memory, script, 150, form=form) == ASKED


@pytest.mark.model
@pytest.mark.parametrize("script", ["Korean", "Russian", "Greek"])
def test_a_name_is_found_among_600_notes(script: str, memory: Larimar) -> None:
    assert right_first(memory, script, 600) == ASKED


@pytest.mark.parametrize("script", NOTES)
def test_a_word_inside_a_sentence_is_found(script: str, tmp_path: Path) -> None:
    for path in (None, tmp_path / "m.larimar"):
        with Larimar.open(path, encoder=Same()) as memory:
            memory.write([note for note, _ in NOTES[script]])
            first = sum(
                memory.read(q, threshold=0).segments[0].text == note for note, q in NOTES[script]
            )
            assert first >= len(NOTES[script]) - 1


@pytest.mark.model
@pytest.mark.parametrize("script", NOTES)
def test_a_question_finds_its_note_among_those_of_all_scripts(script: str, memory: Larimar) -> None:
    memory.write([note for notes in NOTES.values() for note, _ in notes])
    memory.write([ENGLISH, "Ships pass at night."])
    first = scope = 0
    for note, question in NOTES[script]:
        found = memory.read(question)
        scope += found.in_scope
        first += found.in_scope and found.segments[0].text == note
    assert scope >= len(NOTES[script]) - 1
    assert first >= len(NOTES[script]) - 2


ENGLISH = "Anna baked a cake for the party."
UNREAD = [
    "🎂🎂🎂",
    "សោបន្ទប់ប្រជុំនៅលើតុ",
    "ጠረጴዛው ላይ ቁልፉ አለ",
    "ຫ້ອງປະຊຸມຢູ່ຊັ້ນສອງ",
    "စားပွဲပေါ်မှာ သော့ရှိတယ်",
    "తాళం బల్ల మీద ఉంది",
]
ASKING_OTHERS = ["🚑", "ኢትዮጵያ", "🚑🚑 ?", "ផ្លែឈើ", "ดวงอาทิตย์", "太陽風", "నక్షత్రం"]


@pytest.fixture
def mixed(memory: Larimar) -> Iterator[Larimar]:
    memory.write([ENGLISH, *UNREAD], ids=["english", *UNREAD])
    return memory


@pytest.mark.model
@pytest.mark.parametrize("question", ASKING_OTHERS)
def test_what_the_encoder_cannot_read_is_not_in_scope_by_its_key(mixed: Larimar, question: str) -> None:
    for hybrid in (True, False):
        found = mixed.read(question, hybrid=hybrid)
        assert (found.in_scope, found.segments) == (False, ())
        assert found.best_score < 0.3


@pytest.mark.model
@pytest.mark.parametrize("note", ["🇩🇪🇫🇷", "♞♟♔", "⠓⠑⠇⠇⠕", "ꦲꦤꦕꦫꦏ"])
def test_symbols_that_the_encoder_cannot_read_are_words(mixed: Larimar, note: str) -> None:
    mixed.write([note], ids=["note"])
    for asked in (note, note[:2] if note[0] in "🇩ꦲ" else note.split()[0]):
        found = mixed.read(asked)
        assert found.in_scope
        assert found.segments[0].document_id == "note"


@pytest.mark.model
@pytest.mark.parametrize("question", ["Who has the 🚑🚑🚑🚑🚑🚑?", "🚑🚑 ok", "Has the ፀሐይ ጨረቃ?"])
def test_words_that_only_ask_do_not_answer_for_what_is_not_read(mixed: Larimar, question: str) -> None:
    mixed.write(["The flag hangs over the door.", "It is ok."])
    assert not mixed.read(question).in_scope


@pytest.mark.model
def test_words_broken_at_the_end_of_a_line_are_read_whole(memory: Larimar) -> None:
    memory.write(["The effi-\ncient labora-\ntory of Dr. Lans is in the base-\nment of the house."])
    asked = "Where is the efficient laboratory?"
    memory.write(
        ["The efficient laboratory of Dr. Lans is in the basement of the house."], namespace="clean"
    )
    clean = memory.read(asked, namespace="clean").best_score
    assert memory.read(asked).best_score == pytest.approx(clean, abs=0.03)
    memory.write(["Self-\nservice tills are broken."], namespace="own")
    memory.write(["Self-service tills are broken."], namespace="plain")
    own, plain = (
        memory.read("Are the self-service tills broken?", namespace=n) for n in ("own", "plain")
    )
    assert own.best_score == pytest.approx(plain.best_score, abs=0.03)


@pytest.mark.model
@pytest.mark.parametrize("note", UNREAD)
def test_words_find_what_the_encoder_cannot_read(mixed: Larimar, note: str) -> None:
    found = mixed.read(note[:6] if " " not in note else note.split()[1])
    assert found.in_scope
    assert found.segments[0].document_id == note


@pytest.mark.model
def test_a_question_that_is_read_is_not_answered_by_what_cannot_be(mixed: Larimar) -> None:
    found = mixed.read("Who baked a cake?")
    assert [found.segments[0].document_id, found.in_scope] == ["english", True]
    assert not mixed.read("Which planet is the largest?").in_scope


@pytest.mark.model
@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ("A plain sentence.", True),
        ("Great cake 🎂!", True),
        ("The 会议室 is on the second floor of the house.", True),
        ("x² + y² = z²", True),
        ("…?!", True),
        ("🎂", False),
        ("🎂🎂 ok", False),
        ("会议室的钥匙放在前台左边的抽屉里。", False),
        ("ጠረጴዛው 12", False),
    ],
)
def test_a_text_that_is_not_read_has_zeros_for_a_key(
    encoder: SentenceEncoder, text: str, is_read: bool
) -> None:
    alone = encoder.encode([text])[0]
    beside = encoder.encode(["A plain sentence.", text, "Another."])
    assert alone.any() == beside[1].any() == is_read
    assert beside[0].any()
    np.testing.assert_allclose(alone, beside[1], atol=2e-2)
    assert encoder.encode([text], kind="question")[0].any() == is_read


CLEAN = [
    "The office of the chief financial officer is on the fifth floor of the Flint building.",
    "Efficient traffic flow benefits the staff of the fishing fleet.",
    "The final offer was five hundred coffee cups.",
]
ASKED_OF_IT = [
    "Where is the office of the financial officer?",
    "What does efficient traffic flow do?",
    "What was the final offer?",
]


def broken(text: str, form: str) -> str:
    ligatures = {"ffi": "ﬃ", "ffl": "ﬄ", "ff": "ﬀ", "fi": "ﬁ", "fl": "ﬂ"}
    tex = {"ffi": "\x0e", "ffl": "\x0f", "ff": "\x0b", "fi": "\x0c", "fl": "\x0d"}
    if form == "fullwidth":
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    if form == "soft hyphens":
        return " ".join(w if len(w) < 6 else f"{w[:3]}\u00ad{w[3:]}" for w in text.split())
    if form == "zero width":
        return text.replace("e", "e\u200b")
    if form == "bold":
        return "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text)
    for plain, ligature in ligatures.items():
        other = {"ligatures": ligature, "NUL": "\0", "replaced": "\ufffd", "TeX": tex[plain]}[form]
        text = text if (form, plain) == ("TeX", "fl") else text.replace(plain, other)
    return text


@pytest.mark.model
@pytest.mark.parametrize(
    "form", ["ligatures", "fullwidth", "soft hyphens", "NUL", "replaced", "TeX", "zero width", "bold"]
)
def test_a_text_is_found_however_its_letters_are_written(form: str, memory: Larimar) -> None:
    written = [broken(text, form) for text in CLEAN]
    assert all(text not in written for text in CLEAN)
    memory.write(written, ids=["0", "1", "2"])
    memory.write(CLEAN, namespace="clean")
    for n, question in enumerate(ASKED_OF_IT):
        found, clean = memory.read(question), memory.read(question, namespace="clean")
        assert found.in_scope
        assert found.segments[0].document_id == str(n)
        assert found.segments[0].score == pytest.approx(clean.segments[0].score, abs=0.03)
        assert found.segments[0].text == written[n]
        assert memory.text(str(n)) == written[n]
        asked = memory.read(broken(question, form))
        assert asked.segments[0].document_id == str(n)
