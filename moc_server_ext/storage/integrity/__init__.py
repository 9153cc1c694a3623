"""Whether a storage is whole: the quick look at each opening, and the check of everything (``moc fsck``)."""
