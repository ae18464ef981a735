"""Pure functions over manifests: select, clean, rewrite, park. No I/O, no clock, no cluster."""
