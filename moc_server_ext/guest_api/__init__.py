"""What guests may ask of the host: the registry of host functions and the ``core`` module."""
