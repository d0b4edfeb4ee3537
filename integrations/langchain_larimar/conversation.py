"""A conversation kept in a memory: the turns that matter for what is said now, and the latest ones."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import run_in_executor

from langchain_larimar.convert import Line, to_block, to_messages, to_role, to_text
from langchain_larimar.given_memory import check_memory, check_threshold, lock_of
from langchain_larimar.tokens import CountTokens
from larimar_memory.decoders.budget import fit
from larimar_memory.errors import InputError

if TYPE_CHECKING:
    from langchain_classic.base_memory import BaseMemory

    from larimar_memory import Larimar
    from larimar_memory.stores import Document

_UNUSABLE = "The conversation memory cannot be made."
_QUERY_CHARS = 2000
_SEGMENTS_PER_TURN = 3


@dataclass(frozen=True)
class LarimarMemory:
    """A conversation whose prompt stays short however long it gets.

    Each session has a namespace of its own. A prompt gets the latest turns and, of the older ones,
    those that are relevant to what is said now, between delimiters, as data.

    Args:
        memory: where turns are kept.
        session: whose conversation it is. None takes it from `config["configurable"]["session_id"]`
            where it runs in a chain, and refuses to run without one.
        k: most older turns to recall.
        window: how many of the latest turns are always in the prompt.
        recall_tokens: most tokens of recalled turns, with the delimiters and the note around them.
        window_tokens: most tokens of the latest turns; of the turn that is too long for what is left,
            the end is taken.
        score_threshold: score under which an older turn is not relevant; None is the memory's own.
        memory_key: the prompt variable that is filled.
        input_key, output_key: entries that are kept, where a chain's input or output has several.
        count_tokens: counts tokens, given a list of messages; such as the model's own
            `get_num_tokens_from_messages`.
    """

    memory: Larimar
    session: str | None = None
    k: int = 4
    window: int = 3
    recall_tokens: int = 500
    window_tokens: int = 1000
    score_threshold: float | None = None
    memory_key: str = "history"
    input_key: str | None = None
    output_key: str | None = None
    count_tokens: CountTokens = count_tokens_approximately

    def __post_init__(self) -> None:
        check_memory(self.memory, _UNUSABLE)
        for name in ("k", "window", "recall_tokens", "window_tokens"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise InputError(
                    _UNUSABLE, f"It was given {name}={value!r}.", "Use a whole number, 0 for none."
                )
        least = self.score_threshold
        why = f"It was given score_threshold={least!r}, and scores lie between 0 and 1."
        check_threshold(least, _UNUSABLE, why)
        if not callable(self.count_tokens):
            raise InputError(
                _UNUSABLE,
                f"It cannot count tokens with {self.count_tokens!r}.",
                "Use a function of a list of messages, such as `model.get_num_tokens_from_messages`.",
            )

    @property
    def namespace(self) -> str:
        """Where the turns of the session are kept.

        Raises:
            InputError: if no session is named.
        """
        if not isinstance(self.session, str) or not self.session:
            raise InputError(
                "The conversation cannot be found.",
                f"No session is named by {self.session!r}, and sessions must not be mixed.",
                'Name it in LarimarMemory(memory, "ana"), or in config["configurable"]["session_id"].',
            )
        return f"conversation:{self.session}"

    def at(self, config: RunnableConfig | None) -> LarimarMemory:
        """This memory at its session or, without one, at the session that a call's config names."""
        if self.session is not None:
            return self
        return replace(self, session=(config or {}).get("configurable", {}).get("session_id"))

    def save(self, said: str, reply: str) -> None:
        """Keep one turn: what the user said, and the reply."""
        self.save_messages([HumanMessage(said), AIMessage(reply)])

    async def asave(self, said: str, reply: str) -> None:
        """As `save`, off the event loop."""
        await run_in_executor(None, self.save, said, reply)

    def save_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Keep the human, AI and system messages that have text; a human one begins a new turn."""
        # One at a time: what is saved at the same moment gets turns of its own.
        with lock_of(self.memory):
            turn = max((d.metadata["turn"] for d in self._documents()), default=0)
            lines = list[Line]()
            for message in messages:
                role = to_role(message)
                if role and message.text.strip():
                    turn += role == "Human" or turn == 0
                    lines.append(Line(turn, role, str(message.text)))
            # Ids are unique, so that turns saved by two processes at the same moment all stay.
            self._write(lines, [f"{line.turn}-{uuid.uuid4().hex}" for line in lines])

    def save_once(self, said: str, reply: str, *, key: str, mark: str) -> None:
        """Keep one turn that may come again; where the reply is blank, what the user said alone.

        Args:
            key: names the turn; what was kept under it before is replaced.
            mark: stands for what the turn says; where a turn of the same mark is kept, nothing is done.
        """
        with lock_of(self.memory):
            kept = self._documents()
            if any(document.metadata.get("mark") == mark for document in kept):
                return
            before = {d.id: d.metadata["turn"] for d in kept if d.metadata.get("key") == key}
            last = max((document.metadata["turn"] for document in kept), default=0)
            turn = next(iter(before.values()), last + 1)
            both = [Line(turn, "Human", said), Line(turn, "AI", reply)]
            lines = [line for line in both if line.text.strip()]
            ids = [f"{key}-{line.role}" for line in lines]
            self._write(lines, ids, key=key, mark=mark)
            if gone := [id for id in before if id not in ids]:
                self.memory.forget(ids=gone, namespace=self.namespace)

    def clear(self) -> None:
        """Forget the session's conversation, for good."""
        self.memory.forget(namespace=self.namespace)

    async def aclear(self) -> None:
        """As `clear`, off the event loop."""
        await run_in_executor(None, self.clear)

    def load(self, said: str) -> list[BaseMessage]:
        """What the next prompt needs: one message of recalled turns, if any, and the latest turns."""
        recalled, recent = self.recall(said)
        block = [HumanMessage(to_block(recalled))] if recalled else []
        return [*block, *to_messages(recent)]

    def load_text(self, said: str) -> str:
        """As `load`, as text for a prompt without messages."""
        recalled, recent = self.recall(said)
        block = [to_block(recalled)] if recalled else []
        return "\n".join([*block, *(f"{line.role}: {line.text}" for line in recent)])

    async def aload(self, said: str) -> list[BaseMessage]:
        """As `load`, off the event loop."""
        return await run_in_executor(None, self.load, said)

    def recall(self, said: str, *, but: Collection[str] = ()) -> tuple[list[Line], list[Line]]:
        """Older turns that are relevant to what is said now, and the latest turns, both in order.

        A turn too long for what is left of `recall_tokens` is recalled by its relevant sentences.

        Args:
            said: what is said now.
            but: marks of turns saved with `save_once` that are not to be recalled.
        """
        kept = self._documents() if self.window > 0 else []
        turns = sorted({document.metadata["turn"] for document in kept})
        latest = turns[-self.window :] if self.window > 0 else []
        recent = self.cut(self._lines(d for d in kept if d.metadata["turn"] in latest))
        query, first = said.strip()[:_QUERY_CHARS], recent[0].turn if recent else None
        if not query or not self.k or (self.window > 0 and first == next(iter(turns), None)):
            return [], recent
        readout = self.memory.read(
            query,
            min(_SEGMENTS_PER_TURN * (self.k + len(but)), 1000),
            namespace=self.namespace,
            where=None if first is None else {"turn": {"$lt": first}},
            threshold=self.score_threshold,
        )
        whole, chosen = set[int](), dict[int, list[Line]]()
        for segment in readout.segments:
            turn, role = segment.metadata["turn"], segment.metadata["role"]
            full = turn not in chosen and len(chosen) == self.k
            known = full or turn in whole or segment.metadata.get("mark") in but
            if known or segment.score < readout.threshold:
                continue
            lines = [] if turn in chosen else self._turn(turn)
            if lines and self._fits({**chosen, turn: lines}):
                whole.add(turn)
            else:
                lines = [*chosen.get(turn, ()), Line(turn, role, segment.text.strip())]
            if turn in whole or self._fits({**chosen, turn: lines}):
                chosen[turn] = lines
        return _in_order(chosen), recent

    def all_lines(self) -> list[Line]:
        """Everything that was said in the session, in order."""
        return self._lines(self._documents())

    def as_runnable(self, *, as_text: bool = False) -> Runnable[Any, Any]:
        """What the next prompt needs, for `RunnablePassthrough.assign(history=...)`.

        Args:
            as_text: whether it is text, for a prompt without a messages placeholder.
        """

        def load(given: Any, config: RunnableConfig) -> list[BaseMessage] | str:
            at, said = self.at(config), self.said(given)
            return at.load_text(said) if as_text else at.load(said)

        return RunnableLambda(load, name="LarimarMemory")

    def remembering(self, chain: Runnable[Any, Any], *, as_text: bool = False) -> Runnable[Any, Any]:
        """The chain with this memory around it: its prompt gets the history, its turns are kept.

        A turn is kept once its reply is complete: not after an error, nor when a stream is left early.

        Args:
            chain: takes a mapping with `memory_key` filled in; its output is text or a message, or a
                mapping that holds one.
            as_text: as in `as_runnable`.
        """
        from langchain_larimar.remembering import Remembering

        return Remembering(chain=chain, turns=self, as_text=as_text)

    def as_classic(self, *, return_messages: bool = False) -> BaseMemory:
        """The memory of a classic chain, such as `ConversationChain`; needs langchain-classic.

        Args:
            return_messages: whether the chain's prompt takes messages instead of text.

        Raises:
            InputError: if langchain-classic is not installed, or no session is named.
        """
        from langchain_larimar.classic_memory import classic_class

        self.namespace  # noqa: B018 - refuses to go on without a session
        memory: BaseMemory = classic_class()(turns=self, return_messages=return_messages)
        return memory

    def said(self, given: Any) -> str:
        """The text of a chain's input."""
        usual = ("input", "query", "question")
        return to_text(self._without_history(given), key=self.input_key, usual=usual, what="input")

    def replied(self, output: Any) -> str:
        """The text of a chain's output."""
        usual = ("output", "result", "answer", "response", "text")
        return to_text(output, key=self.output_key, usual=usual, what="output")

    def _without_history(self, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: v for name, v in given.items() if name not in (self.memory_key, "stop")}

    def _write(self, lines: Sequence[Line], ids: Sequence[str], **marks: str) -> None:
        self.memory.write(
            [line.text for line in lines],
            ids,
            [{"turn": line.turn, "role": line.role, **marks} for line in lines],
            namespace=self.namespace,
        )

    def _documents(self) -> list[Document]:
        return list(self.memory.documents(namespace=self.namespace))

    def _lines(self, documents: Iterable[Document]) -> list[Line]:
        lines = list[Line]()
        for document in documents:
            # What was forgotten since is left out.
            with suppress(InputError):
                text = self.memory.text(document.id, namespace=self.namespace)
                lines.append(Line(document.metadata["turn"], document.metadata["role"], text))
        return lines

    def cut(self, lines: Sequence[Line]) -> list[Line]:
        """The last of the lines that fit into `window_tokens`, and the end of the one before them."""

        def fits(newest: Sequence[Line]) -> bool:
            return self.count_tokens(to_messages(newest[::-1])) <= self.window_tokens

        newest = [*reversed(lines)]
        newest = newest[: fit(newest, fits)]
        if len(newest) < len(lines):
            line = lines[-len(newest) - 1]

            def end(count: int) -> Line:
                return replace(line, text=line.text[-count:])

            count = fit(line.text, lambda some: fits([*newest, end(len(some))]))
            newest = [*newest, *([end(count)] if count else [])]
        return newest[::-1]

    def _fits(self, chosen: Mapping[int, list[Line]]) -> bool:
        block = HumanMessage(to_block(_in_order(chosen)))
        return self.count_tokens([block]) <= self.recall_tokens

    def _turn(self, turn: int) -> list[Line]:
        return self._lines(self.memory.documents(namespace=self.namespace, where={"turn": turn}))


def _in_order(chosen: Mapping[int, list[Line]]) -> list[Line]:
    return [line for turn in sorted(chosen) for line in chosen[turn]]
