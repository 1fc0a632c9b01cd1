"""What the tests share: models, oracles, questions and sampled examples; a line for each in `tests/README.md`."""
