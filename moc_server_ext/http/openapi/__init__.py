"""The OpenAPI document: the web API told to programs, made from the route table, the model and the tree of errors.

What the table knows (paths, methods, the operations' own docstrings) is taken from it; what only a person can say is in
:mod:`.operations` (one entry an operation), :mod:`.parameters`, :mod:`.responses`, :mod:`.schemas` and
:mod:`.security`.
"""
