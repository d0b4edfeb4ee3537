"""`python -m larimar_memory` is the `larimar` command."""

from larimar_memory.cli import main

if __name__ == "__main__":
    main()
