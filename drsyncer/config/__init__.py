"""The configuration: one file, one schema. From the schema come validation, sample, reference page and JSON Schema."""

import os

# Nobody else's code takes part in reading our configuration; looking for it in every installed package takes 25 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
