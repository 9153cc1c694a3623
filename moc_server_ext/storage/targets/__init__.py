"""Where backups and replicated commits go: a directory, or a bucket of a store that speaks S3."""
