"""The Realtime HTTPS API as others see it, shared by clients and servers."""
