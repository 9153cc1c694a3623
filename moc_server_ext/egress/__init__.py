"""Outbound requests of guests, and what keeps them where they may go.

:class:`~.fetch.Fetch` is one request: allowed host → checked addresses → pinned connection → answer in parts. It knows
nothing of guests; what a host function or a virtual file makes of it is theirs.
"""
