"""The options and fixtures of the claims come with pytest.ini: before pytest looks for tests in what they name."""
