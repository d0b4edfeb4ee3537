"""The base of all rooms: the user's folders, files replaced as a whole, forks, plain values."""
