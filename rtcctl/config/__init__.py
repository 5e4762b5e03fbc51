"""Profiles: which Realtime a command talks to, from flags, environment and files; and where secrets are kept.

App ID, secret and API base are one bundle from one source (`resolve`). pydantic and keyring are imported only by what
needs them, so that commands which only look into the state folder start fast.
"""

from rtcctl.config.discovery import RunningServer, announce_server, running_servers
from rtcctl.config.folders import config_path, project_path, state_dir
from rtcctl.config.profiles import KnownProfile, add_profile, list_profiles, store_secret, use_profile
from rtcctl.config.resolve import Resolution, resolve

__all__ = [
    "KnownProfile",
    "Resolution",
    "RunningServer",
    "add_profile",
    "announce_server",
    "config_path",
    "list_profiles",
    "project_path",
    "resolve",
    "running_servers",
    "state_dir",
    "store_secret",
    "use_profile",
]
