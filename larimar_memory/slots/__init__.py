"""The associative memory as mathematics: address, write, read, forget and merge."""

from larimar_memory.slots.address import ALPHA, address
from larimar_memory.slots.blend import Reading, Source
from larimar_memory.slots.growing import GrowingMemory
from larimar_memory.slots.health import Health, grow_health, slot_health
from larimar_memory.slots.self_keyed import SelfKeyedMemory
from larimar_memory.slots.slots import SlotMemory
from larimar_memory.slots.state import load_slots, save_slots

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
