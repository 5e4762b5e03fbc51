"""One peer under test, on aiortc: sends, receives and measures."""
