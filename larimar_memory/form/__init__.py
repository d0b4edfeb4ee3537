"""How an answer is put: its parts as a list, the sources of its sentences, how sure it is."""
