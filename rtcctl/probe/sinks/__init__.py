"""What is done with the media that arrives: heard, looked at, played."""
