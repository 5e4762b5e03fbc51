"""Tables of results, a file per noun; loaded when that noun's result is drawn."""
