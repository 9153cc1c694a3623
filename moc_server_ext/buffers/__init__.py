"""Exchange buffers: bytes on their way between a caller and a guest."""
