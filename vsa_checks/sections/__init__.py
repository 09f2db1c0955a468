"""The paper section by section: how each claim is measured on a model. The tests in claims/ name these functions."""
