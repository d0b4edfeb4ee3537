"""From a question to the segments that it addresses."""
