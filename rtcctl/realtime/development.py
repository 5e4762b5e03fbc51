"""The fixed development credentials of the embedded server: what was pasted yesterday works today.

They are public, so the server refuses to listen beyond loopback with them.
"""

from __future__ import annotations

DEVELOPMENT_PORT = 8610
"HTTP (TCP) and media (UDP) port of `rtcctl dev`."

ADMIN_PREFIX = "/rtcctl"
"Path of the admin API, beside `/v1`."

ACCOUNT_PREFIX = "/client/v4"
"Path of the account API, beside `/v1`."

DEVELOPMENT_APP_ID = "dev00000000000000000000000000000"
DEVELOPMENT_APP_SECRET = "dev-secret-only-for-loopback-00000000000000000000000000000000000"
DEVELOPMENT_TURN_KEY_ID = "devturn0000000000000000000000000"
DEVELOPMENT_TURN_KEY_TOKEN = "dev-turn-token-only-for-loopback-0000000000000000000000000000000"
DEVELOPMENT_ACCOUNT_ID = "devaccount0000000000000000000000"
DEVELOPMENT_ACCOUNT_TOKEN = "dev-account-token-only-for-loopback-0000"
