"""Changed files, a great many of them, for everything that reads a file which is not ours."""
