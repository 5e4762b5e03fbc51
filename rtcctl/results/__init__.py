"""Frozen dataclasses that operations return; every number carries its unit."""
