"""The operations of the web API, one module a noun. They block, and run on worker threads."""
