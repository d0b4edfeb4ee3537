"""Keys of segments and questions."""
