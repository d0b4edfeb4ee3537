"""The associative memory as mathematics: address, write, read, forget and merge."""

from larimar_memory.slots.address import ALPHA, address
from larimar_memory.slots.blend import Blend, Contribution
from larimar_memory.slots.bounded import SlotReading, Slots, evict_oldest
from larimar_memory.slots.growing import GrowingMemory
from larimar_memory.slots.health import Health, grow_health, health_of, slot_health
from larimar_memory.slots.self_keyed import SelfKeyedMemory
from larimar_memory.slots.slots import SlotMemory, WhenFull, check_slots
from larimar_memory.slots.state import load_slots, save_slots

__all__ = [
    "ALPHA",
    "Blend",
    "Contribution",
    "GrowingMemory",
    "Health",
    "SelfKeyedMemory",
    "SlotMemory",
    "SlotReading",
    "Slots",
    "WhenFull",
    "address",
    "check_slots",
    "evict_oldest",
    "grow_health",
    "health_of",
    "load_slots",
    "save_slots",
    "slot_health",
]
