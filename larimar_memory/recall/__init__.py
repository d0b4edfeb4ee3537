"""From a question to the segments that it addresses.

`question` says what a question asks for, `candidates` holds what the store's searches bring back,
`neighbours` scores the text near those, `fine_keys` makes the encoder's keys on reading, `features`
describes each candidate, `ranking` and `scope` weigh the features and signs, `found` holds the result,
`times` and `timely` read questions that name a time, `search` is the way through them all, `contexts`
puts what was found into a readout.
"""

from larimar_memory.recall.found import Candidate
from larimar_memory.recall.search import Recall

__all__ = ["Candidate", "Recall"]
