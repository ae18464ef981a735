"""The configuration: one file, one schema. From the schema come validation, sample, reference page and JSON Schema."""
