"""What a notebook shows: bytes (:mod:`.page`) and started calls (:mod:`.call_page`, :mod:`.call_handle`)."""
