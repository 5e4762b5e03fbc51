"""The embedded Realtime server: Cloudflare's HTTPS API in front of a real SFU."""
