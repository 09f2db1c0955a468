"""The command `vsa-checks`: each of its commands is a module here."""
