"""The sans-IO media core: bytes and `now` in, bytes and events out; standard library only."""
