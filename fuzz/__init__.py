"""A large number of corrupted files for everything that reads untrusted files."""
