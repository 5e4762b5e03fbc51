"""TURN as a client uses it: the connection to a server, an allocation there, STUN, and relayed paths for peers."""
