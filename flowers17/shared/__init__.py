"""A store on object storage: the same guarantees, without a file system's renames and locks."""
