"""Arrays in chunks: what documents of Zarr say of them, and which parts of which chunks a selection needs.

Where the chunks come from is a :class:`.reader.ChunkSource`'s: files, a storage, a server. NumPy and zarr are imported
when something is read, and never by importing this package.
"""
