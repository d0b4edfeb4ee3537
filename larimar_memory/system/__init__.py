"""What is asked of the operating system: the user's folders, files put in place whole, and forks."""
