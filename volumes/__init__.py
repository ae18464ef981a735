"""The data of PersistentVolumeClaims: mover Jobs that run restic, what they leave in Git, and the way back."""
