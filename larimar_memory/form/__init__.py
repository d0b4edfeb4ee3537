"""How an answer is put: line by line, with the sources of its sentences, and how sure it is."""
