"""The paper section by section: how the figures of each claim are put together from the measures."""
