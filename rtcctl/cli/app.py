"""`rtcctl app …`."""

from rtcctl.cli.account import Noun, add_verbs
from rtcctl.cli.noun import noun

app = noun("The apps of the account: list, create, get, update, delete.")
add_verbs(app, Noun("app", "apps", "an app", "apps", "sessions"))
