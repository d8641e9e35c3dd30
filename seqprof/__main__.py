"""``python -m seqprof`` (``torchrun -m`` needs it)."""

from seqprof.cli import main

if __name__ == "__main__":
    main()
