"""The doors under load: HTTPS calls, busy guests, waiting guests, magics, overload, fairness, streams.

Each scheme is a module with ``run(quick)``. Servers and load generators are processes of their own.
"""
