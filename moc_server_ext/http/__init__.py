"""The web API: one set of operations, served by Jupyter's port and by a gateway with a port of its own."""
