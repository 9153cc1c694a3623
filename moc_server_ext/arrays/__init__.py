"""Arrays over stored chunks: which bytes a selection needs, and Zarr's own way to read them."""
