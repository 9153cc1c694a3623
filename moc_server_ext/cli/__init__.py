"""The ``moc`` command: the terminal's face of the verbs, and the verbs that need a process of their own."""
