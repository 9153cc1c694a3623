"""Backups: a storage as it was at one moment, in a target that many of them share, and a storage made from one again.

Of a target, these modules own::

    moc-target.json                    what the target is, and whose backups it takes
    lock.json                          held by the one who changes it
    objects/ab/<object id>             as in the storage, shared by all backups
    catalogs/<sha256>.sqlite3          a catalog as it was; shared when nothing changed
    backups/<id>/partial.jsonl.gz      what an unfinished backup has copied so far
    backups/<id>/objects.jsonl.gz      each object with its size and SHA-256
    backups/<id>/tls.json              the gateway's certificate and key, when asked for
    backups/<id>/manifest.json         written last: without it there is no such backup
"""
