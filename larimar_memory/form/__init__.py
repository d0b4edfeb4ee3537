"""The form of an answer: line by line, with the sources of its sentences, and how sure it is."""
