"""`rtcctl config …`."""

from rtcctl.cli.noun import noun

app = noun("Profiles and secrets.")
