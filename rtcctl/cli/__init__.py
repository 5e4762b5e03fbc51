"""argv → one operation → one rendering → exit status. The only place that knows Typer."""
