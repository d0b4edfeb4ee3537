"""The associative memory as mathematics: address, write, read, forget and merge."""

from larimar_memory.memory.address import ALPHA, address
from larimar_memory.memory.growing import GrowingMemory
from larimar_memory.memory.health import Health, grow_health, slot_health
from larimar_memory.memory.reading import Reading, Source
from larimar_memory.memory.self_keyed import SelfKeyedMemory
from larimar_memory.memory.slots import SlotMemory
from larimar_memory.memory.state import load_slots, save_slots

__all__ = [
    "ALPHA",
    "GrowingMemory",
    "Health",
    "Reading",
    "SelfKeyedMemory",
    "SlotMemory",
    "Source",
    "address",
    "grow_health",
    "load_slots",
    "save_slots",
    "slot_health",
]
