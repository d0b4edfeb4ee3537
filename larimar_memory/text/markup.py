"""HTML as text: what a reader of the page sees, line by line."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

_LINE, _PARAGRAPH, _BREAK, _CELL = 1, 2, 3, 4
"""Tokens between texts: a new line, a blank line, one more line break, the border between two cells."""

CELL = " | "
"""The text between the cells of a row. The encoder ignores white space, so a tab would be lost; the
decoder knows this form from tables in Markdown."""

_Token: TypeAlias = str | int

_UNSEEN = (
    "script style noscript noframes template svg head iframe object audio video canvas datalist "
    # Readings beside Chinese characters would end up inside words.
    "annotation annotation-xml rt rp"
)
_UNSEEN_BY_ATTRIBUTE = ", ".join(
    ['[hidden]:not([hidden="until-found" i])', "dialog:not([open])"]
    + [f'[style*="{rule}" i]' for rule in ("display:none", "display: none", "visibility:hidden")]
)
_IN_LINES = (
    "address center dd dir div dt fieldset form hgroup legend li optgroup option tbody tfoot thead tr "
    "html body"
)
_IN_PARAGRAPHS = (
    "article aside blockquote caption details dialog figcaption figure footer h1 h2 h3 h4 h5 h6 header "
    "hr listing main nav p plaintext pre search section summary table textarea xmp"
)
_LISTS = frozenset({"dl", "menu", "ol", "ul"})
_VERBATIM = frozenset(["listing", "plaintext", "pre", "textarea", "xmp"])
_BETWEEN: dict[str, _Token] = {
    **dict.fromkeys(_IN_LINES.split(), _LINE),
    **dict.fromkeys(_IN_PARAGRAPHS.split(), _PARAGRAPH),
    **dict.fromkeys(("button", "input", "select"), " "),
}

_WHITE = re.compile("[ \t\n\r\f\xa0]+")
_LAYOUT_CHARS = 600
"""Characters above which a row whose cells have several lines is page layout, not data."""
_NESTED_ROWS = 20
"""Rows nested deeper are not joined into lines: each level would process all that is inside again."""

# What makes a parser slow or its tree large: a tag may search all open tags around it, and formats that
# are never closed are created again in each block.
_TAG = re.compile("<(/?)([a-z][a-z0-9]*)", re.IGNORECASE)
_CLOSED_BY_OTHERS = (
    "a area base br button col dd dt embed form hr img input li link meta option p param select source "
    "td th tr track wbr"
)
_NEVER_AROUND = frozenset(_CLOSED_BY_OTHERS.split())
_FORMAT_NAMES = "b big code em font i s small strike strong tt u"
_FORMATS = frozenset(_FORMAT_NAMES.split())
_STEPS, _NODES = 2_000_000_000, 20_000_000


class _Verbatim(str):
    """Text whose white space is kept."""

    __slots__ = ()


def text_of(markup: str) -> str:
    """The text of a page.

    Lines break at block elements and `<br>`. A blank line separates paragraphs, headings and tables.
    The cells of a row stay on one line. White space is collapsed outside `<pre>`. Text that a browser
    does not show is left out.

    Raises:
        ValueError: if it is nested so deeply that every parser would be slow.
        RuntimeError: if the parser gives up.
    """
    from selectolax.lexbor import LexborHTMLParser

    _check_nesting(markup)
    tree = LexborHTMLParser(markup)
    tree.strip_tags(_UNSEEN.split())
    root = tree.body or tree.root
    if root is None:
        return ""
    unseen = {node.mem_id for node in tree.css(_UNSEEN_BY_ATTRIBUTE)}
    return _joined(_tokens(root, unseen))


def _check_nesting(markup: str) -> None:
    opened = dict[str, int]()
    depth = formats = steps = nodes = 0
    for found in _TAG.finditer(markup):
        closing, tag = found[1], found[2].lower()
        steps += depth
        if tag not in _NEVER_AROUND:
            change = 1 if not closing else -1 if opened.get(tag) else 0
            opened[tag] = opened.get(tag, 0) + change
            depth += change
            formats += change if tag in _FORMATS else 0
        if tag in _BETWEEN and not closing:
            nodes += formats
        if steps > _STEPS or nodes > _NODES:
            raise ValueError("its elements are nested too deep")


def _tokens(root: Any, unseen: set[int]) -> list[_Token]:
    """The texts of a page, and the breaks between them."""
    tokens: list[_Token] = []
    # Id, tag and break of each enclosing element; a loop, since pages nest deeper than Python calls.
    around: list[tuple[int, str, _Token]] = []
    rows: list[int] = []
    lists = verbatim = hidden = 0

    def close() -> None:
        nonlocal lists, verbatim, hidden
        identity, tag, after = around.pop()
        if after:
            tokens.append(after)
        if tag == "tr":
            _end_row(tokens, rows.pop(), len(rows))
        lists -= tag in _LISTS
        verbatim -= tag in _VERBATIM
        hidden -= identity in unseen

    for node in root.traverse(include_text=True):
        parent = node.parent
        while around and (parent is None or around[-1][0] != parent.mem_id):
            close()
        tag = node.tag
        if tag == "-text":
            if not hidden:
                text = node.text_content
                tokens.append(_Verbatim(text) if verbatim else text)
            continue
        if not isinstance(tag, str) or tag[:1] in "-!":
            continue
        identity = node.mem_id
        hidden += identity in unseen
        if hidden:
            # A hidden element has no box, so it adds no break.
            around.append((identity, "", 0))
            continue
        between = _BETWEEN.get(tag, 0)
        if tag in _LISTS:
            between = _LINE if lists else _PARAGRAPH
        around.append((identity, tag, between))
        if between:
            tokens.append(between)
        lists += tag in _LISTS
        verbatim += tag in _VERBATIM
        if tag == "tr":
            rows.append(len(tokens))
        elif tag in ("td", "th"):
            tokens.append(_CELL if 0 < len(rows) <= _NESTED_ROWS else _PARAGRAPH)
        elif tag == "br":
            tokens.append(_Verbatim("\n") if verbatim else _BREAK)
    while around:
        close()
    return tokens


def _end_row(tokens: list[_Token], start: int, outside: int) -> None:
    """Put the cells of a row into one line, unless the row lays out a page.

    Args:
        outside: number of rows around it.
    """
    if outside >= _NESTED_ROWS:
        return
    cells: list[list[_Token]] = []
    for token in tokens[start:]:
        if token == _CELL:
            cells.append([])
        elif cells:
            cells[-1].append(token)
    trimmed = [_trimmed(cell) for cell in cells]
    if sum(map(bool, trimmed)) < 2:
        tokens[start:] = [_PARAGRAPH if token == _CELL else token for cell in cells for token in cell]
        return
    texts = [token for cell in trimmed for token in cell if isinstance(token, str)]
    several = any(not isinstance(token, str) for cell in trimmed for token in cell)
    laid_out = several and sum(map(len, texts)) > _LAYOUT_CHARS
    if laid_out or any(isinstance(text, _Verbatim) and "\n" in text.strip("\n") for text in texts):
        tokens[start:] = [token for cell in trimmed for token in (*cell, _PARAGRAPH)]
        return
    line: list[_Token] = []
    for n, cell in enumerate(trimmed):
        # Empty cells are kept, so that the cells of a column stay aligned.
        line += [CELL] if n else []
        for token in cell:
            # A line break at the end of `<pre>` would end the row.
            if isinstance(token, _Verbatim):
                line.append(_Verbatim(token.strip("\n")))
            else:
                line.append(token if isinstance(token, str) else " ")
    tokens[start:] = line


def _trimmed(cell: list[_Token]) -> list[_Token]:
    """A cell without the breaks and white space at its ends."""
    seen = [at for at, token in enumerate(cell) if isinstance(token, str) and token.strip()]
    return cell[seen[0] : seen[-1] + 1] if seen else []


def _joined(tokens: list[_Token]) -> str:
    out: list[str] = []
    breaks, space, ended = 0, False, 0
    for token in tokens:
        if not isinstance(token, str):
            breaks = min(2, breaks + 1) if token == _BREAK else max(breaks, token)
            space = False
            continue
        kept = isinstance(token, _Verbatim)
        text = str(token) if kept else _WHITE.sub(" ", token.replace("\xad", ""))
        body = text if kept else text.strip(" ")
        if body:
            if breaks:
                out.append("\n" * max(0, breaks - ended) if out else "")
            elif out and (space or (not kept and text[0] == " ")) and not ended:
                out.append(" ")
            out.append(body)
            left = len(body.rstrip("\n"))
            ended = len(body) - left + (0 if left else ended)
            breaks, space = 0, not kept and text[-1] == " "
        elif text and not breaks:
            space = True
    return "".join(out).strip("\n")
