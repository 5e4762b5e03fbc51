"""`rtcctl turn key …`: a noun inside `turn`, loaded when it is named."""

from rtcctl.cli.account import Noun, add_verbs
from rtcctl.cli.noun import noun

app = noun("The TURN keys of the account: list, create, get, update, delete.")
add_verbs(app, Noun("turn key", "turn_keys", "a TURN key", "TURN keys", "credentials"))
