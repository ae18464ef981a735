"""The whole story on real nodes: an image, two clusters whose pods run, a Git server. `make e2e`."""
