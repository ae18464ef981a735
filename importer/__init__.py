"""Recovery repository to DR cluster."""
