"""What a notebook shows of the platform. Pages of bytes are in :mod:`moc_widgets.page`; nothing is imported here."""
