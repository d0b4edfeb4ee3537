"""A memory with one fact in each of two namespaces, and chats about them."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_larimar import ChatLarimar
from larimar_memory.larimar import Larimar

FACT = "The pass key of the vault is {}."


QUESTION = "What is the pass key of the vault?"


HISTORY = [
    SystemMessage("You are the porter of the bank."),
    HumanMessage("Good morning, I am Odile."),
    AIMessage("Good morning, Odile."),
]


CHAT = [*HISTORY, HumanMessage(QUESTION)]


GROUNDINGS = ("text", "latent", "none")


def local(vault: Larimar, grounding: str, **options: Any) -> ChatLarimar:
    return ChatLarimar(memory=vault, grounding=grounding, **options)
