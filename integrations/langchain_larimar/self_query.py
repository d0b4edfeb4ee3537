"""A model's structured query as a query and a metadata filter, for SelfQueryRetriever."""

from __future__ import annotations

from typing import Any

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    Operation,
    Operator,
    StructuredQuery,
    Visitor,
)


class LarimarTranslator(Visitor):
    """Translates the filters that a `SelfQueryRetriever` makes into those of a `LarimarVectorStore`.

        SelfQueryRetriever.from_llm(
            llm, store, contents, fields, structured_query_translator=LarimarTranslator()
        )

    A date or a moment becomes its ISO text, which is compared as text.
    """

    allowed_comparators = (
        Comparator.EQ,
        Comparator.NE,
        Comparator.GT,
        Comparator.GTE,
        Comparator.LT,
        Comparator.LTE,
        Comparator.IN,
        Comparator.NIN,
    )
    allowed_operators = (Operator.AND, Operator.OR, Operator.NOT)

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """`$and`, `$or` or `$not` of filters."""
        self._validate_func(operation.operator)
        parts = [argument.accept(self) for argument in operation.arguments]
        if operation.operator is Operator.NOT:
            return {"$not": parts[0] if len(parts) == 1 else {"$and": parts}}
        return {f"${operation.operator.value}": parts}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """An operator on one entry of the metadata."""
        self._validate_func(comparison.comparator)
        value = comparison.value
        plain = [_plain(part) for part in value] if isinstance(value, list | tuple) else _plain(value)
        return {comparison.attribute: {f"${comparison.comparator.value}": plain}}

    def visit_structured_query(
        self, structured_query: StructuredQuery
    ) -> tuple[str, dict[str, dict[str, Any]]]:
        """The query, and the arguments of a search."""
        wanted = structured_query.filter
        return structured_query.query, {} if wanted is None else {"filter": wanted.accept(self)}


def _plain(value: Any) -> Any:
    """A value in the form that metadata has; the query parser gives dates as mappings."""
    if isinstance(value, dict):
        return value.get("date", value.get("datetime", value))
    return value
