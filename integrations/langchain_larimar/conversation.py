"""A conversation kept in a memory; a prompt gets the relevant turns and the latest ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import run_in_executor
from typing_extensions import Unpack

from langchain_larimar.convert import Line, shown, to_block, to_messages, to_role, to_speaker, to_text
from langchain_larimar.given_memory import check_memory, check_threshold, lock_of
from langchain_larimar.kept_turns import KeptTurns, is_line, line_of
from langchain_larimar.moments import moment_of, now, utc
from langchain_larimar.tokens import CountTokens
from larimar_memory.decoders.budget import fit
from larimar_memory.errors import InputError
from larimar_memory.keywords import Times
from larimar_memory.validate import check_name

if TYPE_CHECKING:
    from langchain_classic.base_memory import BaseMemory

    from larimar_memory import Larimar

_UNUSABLE = "The conversation memory cannot be made."
_QUERY_CHARS = 2000
RELEVANT = 0.45
"""Least cosine of a relevant older turn with what was said, for the default encoder."""

_SEGMENTS_PER_TURN = 3
_FIRST_LINES = 32


@dataclass(frozen=True)
class LarimarMemory:
    """A conversation whose prompt stays short however long it gets.

    Each session has a namespace of its own. A prompt gets the latest turns, and the older turns that
    are relevant to what is said now. The older ones stand between delimiters, as data, with who said
    them and, unless it was today, when.

    The metadata of each message says who spoke (`speaker`: the message's name, or its role) and when
    (`said_at`: in ISO 8601 and UTC, the message's own time or else the time of saving; see
    `moments.moment_of`). All messages are one episode, `episode`, in the order of saving. Conversations
    that an earlier release kept without these still work.

    Args:
        memory: the memory that keeps the turns.
        session: id of the session. With None, a chain takes it from
            `config["configurable"]["session_id"]`, and refuses to run without one.
        k: most older turns to recall.
        window: how many of the latest turns are always in the prompt.
        recall_tokens: most tokens of recalled turns, with the delimiters and the note around them.
        window_tokens: most tokens of the latest turns; of a turn that is too long for what is left,
            only the end stays.
        score_threshold: score below which an older turn is not relevant. By default the memory decides
            whether there is a relevant turn, and such a turn scores at least `RELEVANT`.
        memory_key: the prompt variable to fill.
        input_key, output_key: the entries to keep, if a chain's input or output has several.
        count_tokens: counts tokens, given a list of messages, such as the model's own
            `get_num_tokens_from_messages`.
        thread: which of the session's conversations this is, if it has several: each is an episode of
            its own, and all of them are recalled.
        clock: gives the time, as `datetime.now(timezone.utc)` does.
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
    thread: str | None = None
    clock: Callable[[], datetime] = now

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
        if not callable(self.clock):
            raise InputError(
                _UNUSABLE,
                f"It cannot tell the time with {self.clock!r}.",
                "Use a function such as `lambda: datetime.now(timezone.utc)`.",
            )

    @property
    def namespace(self) -> str:
        """The namespace in which the session's turns are kept.

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

    @property
    def episode(self) -> str:
        """The episode of new turns in the session's namespace: `larimar_chat:` and the session, or
        `larimar_thread:` and the thread.

        Names that begin with `larimar_` are reserved: give none of them to an episode of your own.
        """
        if self.thread is None:
            return f"larimar_chat:{self.namespace.removeprefix('conversation:')}"
        name = f"larimar_thread:{self.thread}"
        try:
            return check_name(name, "name of an episode")
        except InputError:
            # A thread may have any name, even one that an episode cannot have.
            hashed = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16)
            return f"larimar_thread_hash:{hashed.hexdigest()}"

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
        # One save at a time, so that each gets turns of its own.
        with lock_of(self.memory):
            turn = self._kept.last()
            lines = list[Line]()
            for message in messages:
                role = to_role(message)
                if role and message.text.strip():
                    turn += role == "Human" or turn == 0
                    lines.append(self._line(turn, role, message))
            self._kept.add(lines)

    def save_once(
        self, said: str | BaseMessage, reply: str | BaseMessage, *, key: str, mark: str
    ) -> None:
        """Keep one turn that may come again; if the reply is blank, only what the user said.

        Args:
            said, reply: text, or messages, which may tell who spoke and when.
            key: names the turn, and replaces what was kept under it before, as `Larimar.write` does.
            mark: stands for the texts of the turn; if a turn with the same mark is kept, nothing is
                done.
        """
        with lock_of(self.memory):
            both = self._line(0, "Human", said), self._line(0, "AI", reply)
            self._kept.put(both, key, mark)

    def clear(self) -> None:
        """Forget the session's conversation, for good."""
        self.memory.forget(namespace=self.namespace)

    async def aclear(self) -> None:
        """As `clear`, off the event loop."""
        await run_in_executor(None, self.clear)

    def load(self, said: str, **times: Unpack[Times]) -> list[BaseMessage]:
        """The next prompt's history: one message of recalled turns, if any, and the latest turns."""
        recalled, recent = self.recall(said, **times)
        block = [HumanMessage(self.block(recalled))] if recalled else []
        return [*block, *to_messages(recent)]

    def load_text(self, said: str, **times: Unpack[Times]) -> str:
        """As `load`, as text for a prompt without messages."""
        recalled, recent = self.recall(said, **times)
        block = [self.block(recalled)] if recalled else []
        return "\n".join([*block, *(f"{shown(line)}: {line.text}" for line in recent)])

    async def aload(self, said: str, **times: Unpack[Times]) -> list[BaseMessage]:
        """As `load`, off the event loop."""
        return await run_in_executor(None, partial(self.load, said, **times))

    def recall(
        self, said: str, *, but: Collection[str] = (), **times: Unpack[Times]
    ) -> tuple[list[Line], list[Line]]:
        """Older turns that are relevant to what is said now, and the latest turns, both in the order in
        which they were said.

        If a turn is too long for what is left of `recall_tokens`, only its relevant sentences come.

        Args:
            said: what is said now.
            but: marks of turns saved with `save_once` that are not to be recalled.
            times: `since`, `until` and `as_of`, of the older turns; see `ReadOptions`.
        """
        kept, whole = self._kept.latest_turns(self.window) if self.window > 0 else ([], False)
        turns = sorted({document.metadata["turn"] for document in kept})
        latest = turns[-self.window :] if self.window > 0 else []
        recent = self.cut(self._kept.lines(d for d in kept if d.metadata["turn"] in latest))
        query, first = said.strip()[:_QUERY_CHARS], recent[0].turn if recent else None
        if not query or not self.k or (whole and first == next(iter(turns), None)):
            return [], recent
        # Read more, by the latest turns' segments, and skip these: a filter would look at every turn.
        shown = [d.segments for d in kept if first is not None and d.metadata["turn"] >= first]
        readout = self.memory.read(
            query,
            min(_SEGMENTS_PER_TURN * (self.k + len(but)) + sum(shown), 1000),
            namespace=self.namespace,
            threshold=None if self.score_threshold is None else 0.0,
            **times,
        )
        least = (
            min(RELEVANT, readout.threshold) if self.score_threshold is None else self.score_threshold
        )
        complete, chosen = set[int](), dict[int, list[Line]]()
        for segment in readout.segments:
            if not is_line(segment):
                continue
            turn = segment.metadata["turn"]
            if first is not None and turn >= first:
                continue
            full = turn not in chosen and len(chosen) == self.k
            known = full or turn in complete or segment.metadata.get("mark") in but
            if known or segment.score < least:
                continue
            lines = [] if turn in chosen else self._kept.of_turn(segment.document_id, turn)
            if lines and self._fits({**chosen, turn: lines}):
                complete.add(turn)
            else:
                lines = [*chosen.get(turn, ()), line_of(segment.metadata, segment.text.strip())]
            if turn in complete or self._fits({**chosen, turn: lines}):
                chosen[turn] = lines
        return _in_order(chosen), recent

    def latest_lines(self, limit: int | None, *, cut: bool) -> list[Line]:
        """The last lines of the session, in order.

        Args:
            limit: most lines; None is all of them.
            cut: whether to return only what fits into `window_tokens`.
        """
        if not cut:
            return self.all_lines() if limit is None else self._kept.latest_lines(limit)[0]
        count = _FIRST_LINES
        while True:
            count = count if limit is None else min(count, limit)
            lines, whole = self._kept.latest_lines(count)
            fitting = self.cut(lines)
            if whole or count == limit or fitting[:1] != lines[:1]:
                return fitting
            count *= 4

    def all_lines(self) -> list[Line]:
        """Everything that was said in the session, in order."""
        return self._kept.lines(self._kept.all())

    def as_runnable(self, *, as_text: bool = False) -> Runnable[Any, Any]:
        """A Runnable that gives the history, for `RunnablePassthrough.assign(history=...)`.

        Args:
            as_text: whether the history is text, for a prompt without a messages placeholder.
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

    @property
    def _kept(self) -> KeptTurns:
        return KeptTurns(self.memory, self.namespace, self.episode)

    def block(self, lines: Sequence[Line]) -> str:
        """Recalled lines, as a prompt shows them."""
        return to_block(lines, utc(self.clock()).date().isoformat())

    def _line(self, turn: int, role: str, message: str | BaseMessage) -> Line:
        if isinstance(message, str):
            message = HumanMessage(message)
        at = moment_of(message) or utc(self.clock())
        return Line(turn, role, str(message.text), to_speaker(message), at.isoformat())

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
        block = HumanMessage(self.block(_in_order(chosen)))
        return self.count_tokens([block]) <= self.recall_tokens


def _in_order(chosen: Mapping[int, list[Line]]) -> list[Line]:
    """The lines of turns in the order of their times, if all have one, otherwise in that of saving."""
    turns, said = sorted(chosen), {turn: lines[0].said_at for turn, lines in chosen.items()}
    if None not in said.values():
        turns.sort(key=lambda turn: str(said[turn]))
    return [line for turn in turns for line in chosen[turn]]
