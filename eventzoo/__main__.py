"""`python -m eventzoo` is the `eventzoo` command."""

from eventzoo.cli import main

if __name__ == "__main__":
    main()
