"""Other programs that seqprof works with: their packages are imported only here, when used."""
