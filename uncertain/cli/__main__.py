"""``python -m uncertain.cli``."""

from uncertain.cli import main

if __name__ == "__main__":
    main()
