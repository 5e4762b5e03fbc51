"""rtcctl: operate, test and gate real-time media over Cloudflare Realtime."""

__version__ = "0.1.0"
