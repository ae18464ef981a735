"""The Helm charts, and what their generated files are made from."""
