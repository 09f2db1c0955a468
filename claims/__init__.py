"""The specification: claims.toml, and one test module per section of the paper."""
