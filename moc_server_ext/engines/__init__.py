"""Engines: each runs the functions of one content type."""
