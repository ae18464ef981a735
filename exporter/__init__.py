"""Source cluster to recovery repository."""
