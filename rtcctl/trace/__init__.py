"""The flight recorder: what a command said and heard, written as it happens, and read back."""
