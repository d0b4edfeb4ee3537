"""HTML as text: words whole, rows in lines, white space as a browser has it."""

from __future__ import annotations

import pytest

from larimar_memory.errors import InputError
from larimar_memory.text.formats import Limits, html_text
from larimar_memory.text.markup import text_of
from larimar_memory.text.segments import is_heading, segment
from tests.growth import growth


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Un<b>believ</b>able", "Unbelievable"),
        ("H<sub>2</sub>O", "H2O"),
        ("Locker <b>A</b>7<i>19</i>", "Locker A719"),
        ("<p>a <b> b </b>\n c</p>", "a b c"),
        ("one<!-- no -->two <a href=x>link</a>, <em>end</em>.", "onetwo link, end."),
        ("super<wbr>cali", "supercali"),
        ("Un&shy;believ&#173;able", "Unbelievable"),
        ("Locker&nbsp;A719 &amp; &lt;more&gt;", "Locker A719 & <more>"),
        ("Un<div hidden>x</div>believ<span style='display: none'>y</span>able", "Unbelievable"),
        ("a<script>b</script>c<style>d</style><template>e</template><svg><text>f</text></svg>", "ac"),
        ("<ruby>\u6771<rp>(</rp><rt>\u3068\u3046</rt></ruby>\u4eac", "\u6771\u4eac"),
        ("<my-word>Un</my-word><font color=red>seen</font>", "Unseen"),
        ("<button>Yes</button><button>No</button>", "Yes No"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div>b<div>c</div>", "a\nb\nc"),
        ("<p>a<p>b<hr>c", "a\n\nb\n\nc"),
        ("<p>a</p> <p>&nbsp;</p> <p></p><p>b</p>", "a\n\nb"),
        ("<ul><li>Milk<li>Eggs<ol><li>big</ol><li><b>T</b>ea</ul>end", "Milk\nEggs\nbig\nTea\n\nend"),
        ("<dl><dt>Ren<dd>a cape<dt>Ast<dd>a sea</dl>", "Ren\na cape\nAst\na sea"),
        ("<details><summary>More</summary>inside</details>", "More\n\ninside"),
        ("<figure><img alt=x><figcaption>The lamp</figcaption></figure>z", "The lamp\n\nz"),
        ("<frameset><frame></frameset>", ""),
        ("", ""),
    ],
)
def test_words_stay_whole_and_blocks_break(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<tr><th>Name<th>Locker<tr><td>Anna<td>312", "Name | Locker\nAnna | 312"),
        ("<tr><td><p>Anna</p></td>\n<td><div>3<b>1</b>2</div></td>", "Anna | 312"),
        ("<tr><td>Anna<br>Meier<td><ul><li>312<li>313</ul>", "Anna Meier | 312 313"),
        ("<tr><td><td>Mon<td><td>Tue", "| Mon | | Tue"),
        ("<tr><td>  <td>alone<td>", "alone"),
        ("<tr><td rowspan=2>A<td>Anna<tr><td>Ben", "A | Anna\nBen"),
        ("<thead><tr><th>N<tbody><tr><td>a<td>b<tfoot><tr><td>c<td>d", "N\na | b\nc | d"),
        ("<caption>Lockers</caption><tr><td>Anna<td>312", "Lockers\n\nAnna | 312"),
        ("<tr><td>out<td><table><tr><td>in<td>side</table>", "out | in | side"),
        ("<tr><td><h1>Title</h1><p>One.</p><p>Two.</p>", "Title\n\nOne.\n\nTwo."),
        ("<tr><td><pre>1\n2</pre><td><pre>def f():\n  pass</pre>", "1\n2\n\ndef f():\n  pass"),
        ("<tr><td><pre>\n a  b\n</pre><td>c", " a  b | c"),
        ("<tr><td hidden>no<td>Anna<td>312", "Anna | 312"),
    ],
)
def test_cells_of_a_row_stay_a_row(markup: str, text: str) -> None:
    assert text_of(f"<table>{markup}</table>") == text


def test_a_table_that_lays_out_a_page_keeps_its_paragraphs() -> None:
    story = "<p>The lamp is green, and it is seen from far away.</p>" * 20
    text = text_of(f"<table><tr><td>Home<br>News</td><td>{story}</td></tr></table>")
    assert text.split("\n\n")[0] == "Home\nNews"
    assert len(text.split("\n\n")) == 21


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<pre>\ndef f():\n    <b>x</b>  y\n\n\n\tz\n</pre>end", "def f():\n    x  y\n\n\n\tz\n\nend"),
        ("a <pre>  b</pre> c", "a\n\n  b\n\nc"),
        ("<pre>    first\n  second</pre>", "    first\n  second"),
        ("<pre>a<br>  b<span> </span>c</pre>", "a\n  b c"),
        ("<pre><div>a\n</div><div>\n</div><div>b\n</div></pre>c", "a\n\nb\n\nc"),
        ("x<textarea>\n a\n\n  b</textarea>y", "x\n\n a\n\n  b\n\ny"),
        ("<listing> a  b</listing>", " a  b"),
        ("<p>a   b</p><code>c   d</code>", "a b\n\nc d"),
    ],
)
def test_preformatted_text_is_as_it_is(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_headings_and_paragraphs_are_segments_of_their_own() -> None:
    page = (
        "<h2>Opening hours</h2><p>The ferry leaves at nine every morning.<p>It is back at six o'clock."
    )
    pieces = [one.text for one in segment(text_of(page))]
    assert [is_heading(piece) for piece in pieces] == [True, False, False]


@pytest.mark.parametrize("tag", ["div", "b", "span", "ul><li", "table><tr><td", "pre", "blockquote"])
def test_ten_thousand_levels_are_read(tag: str) -> None:
    assert text_of(f"<{tag}>" * 10_000 + "deep").strip("| \n") == "deep"


@pytest.mark.parametrize(
    "markup", ["<div>" * 400_000, "<b></i>" * 300_000, "".join(f"<b id={n}><p>" for n in range(20_000))]
)
def test_pages_that_would_hang_or_fill_the_parser_are_refused(markup: str) -> None:
    with pytest.raises(
        InputError, match=r"x cannot be ingested\. It is no sound HTML: its elements are"
    ):
        html_text(iter([markup]), "x", Limits())


@pytest.mark.parametrize("markup", ["<p>Some <b>bold</b> text.</p>\n", "<tr><td>Anna<td>312"])
def test_time_grows_with_length_alone(markup: str) -> None:
    assert growth(lambda n: text_of(f"<table>{markup * n}</table>"), 20_000, 80_000) < 10
