"""`python -m streaming.sources simulate | replay PATH | live`: a feed as its own process."""

from streaming.sources.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
