"""From a question to the segments that it addresses.

`question` is what it says, `candidates` what the store's searches bring back, `neighbours` what stands
near those, `fine_keys` the encoder's keys made on reading, `features` what is known of each, `ranking`
and `scope` what that is worth, `found` what comes of it, `times` and `timely` what a question that
names a time reads, `search` the way through them, `contexts` how a readout holds the found.
"""

from larimar_memory.recall.found import Candidate
from larimar_memory.recall.search import Recall

__all__ = ["Candidate", "Recall"]
