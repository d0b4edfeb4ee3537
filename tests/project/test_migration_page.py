"""The page for those who come from RetrievalQA names what is there, on both sides."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "migration" / "retrievalqa.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_both_answer_the_same_question() -> None:
    (classic,) = [body for body in CODE if "RetrievalQA(" in body or "import RetrievalQA\n" in body]
    ours = CODE[CODE.index(classic) + 1]
    assert "LarimarRetrievalQA.from_chain_type(" in ours
    question = "When does the ferry to Ren leave?"
    assert question in classic
    assert question in ours


def test_what_the_table_of_retrieval_qa_names_is_there() -> None:
    """Fields and arguments of both classes, in the columns that say so."""
    from langchain_classic.chains import RetrievalQA

    from langchain_larimar import LarimarRetrievalQA, LarimarRetriever

    table = PAGE.split("| what you had | what you write |")[1].split("\n\n")[0]
    had, ours = zip(*(row.split("|")[1:3] for row in table.splitlines()[2:]), strict=True)
    fields = {*LarimarRetrievalQA.model_fields, *LarimarRetriever.model_fields}
    for name in re.findall(r"(\w+)=", " ".join(ours)):
        assert name in fields
    same = {"callbacks", "tags", "metadata", "verbose", "input_key", "output_key"}
    assert same <= set(re.findall(r"\w+", " ".join(had)))
    assert same <= set(RetrievalQA.model_fields) & set(LarimarRetrievalQA.model_fields)
    for name in ("from_llm", "from_chain_type", "stream", "astream", "ainvoke", "abatch"):
        assert name in table
        assert hasattr(LarimarRetrievalQA, name)
