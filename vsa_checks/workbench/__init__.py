"""One model under measurement: access to its weights and activations, shared work, measurements cached between runs."""
