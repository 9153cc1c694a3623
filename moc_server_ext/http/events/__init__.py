"""What happens in a cluster, told as Jupyter events: the schemas (one YAML file an event) and who emits them.

A schema's id and version never change their meaning: another shape is another version, in a file of its own.
"""
