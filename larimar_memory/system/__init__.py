"""What all rooms stand on: the user's folders, files put in place whole, forks, plain values."""
