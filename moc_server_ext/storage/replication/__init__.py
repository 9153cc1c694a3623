"""Replication: a primary ships its commits to a target, a standby follows them there and can take over."""
