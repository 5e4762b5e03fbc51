"""Faults on demand, and the ledger of what was done: what production cannot do, a server of one's own can."""
