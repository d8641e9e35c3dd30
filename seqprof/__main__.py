"""``python -m seqprof`` (``torchrun -m`` needs it)."""

from seqprof.cli import program

if __name__ == "__main__":
    program()
