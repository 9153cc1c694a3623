"""What a notebook shows of the platform: bytes (:mod:`.page`) and started calls (:mod:`.call_page`, :mod:`.call_handle`).

Nothing is imported here.
"""
