"""A result → text: table, JSON, JUnit, GitHub, Prometheus, live."""
